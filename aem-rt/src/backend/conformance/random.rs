//! Random histories of receives, cancels and peers that write, by a seed.

use std::collections::HashMap;

use super::*;
use crate::backend::simulated::Random;

pub(super) fn histories_lose_nothing_and_end_every_op_once(rig: &mut Rig) {
    for seed in 1..=20 {
        let random = Random::new(seed);
        let mut ops: HashMap<Token, usize> = HashMap::new();
        let mut lanes: Vec<Lane> = (0..8).map(|_| Lane::new(rig, &random)).collect();
        for _ in 0..400 {
            let index = random.below(lanes.len());
            lanes[index].step(rig, &random, index, &mut ops);
            if random.below(3) == 0 {
                deliver(rig.turn(Some(Duration::ZERO)), &mut lanes, &mut ops, seed);
            }
        }
        for lane in &mut lanes {
            lane.peer.shutdown(Shutdown::Write).unwrap();
        }
        let start = Instant::now();
        while !lanes.iter().all(|lane| lane.ended) {
            assert!(start.elapsed() < PATIENCE, "seed {seed}");
            for (index, lane) in lanes.iter_mut().enumerate() {
                lane.arm(rig, index, &mut ops);
            }
            deliver(rig.turn(Some(Duration::from_millis(1))), &mut lanes, &mut ops, seed);
        }
        assert!(ops.is_empty(), "seed {seed}: {} ops never ended", ops.len());
        assert!(lanes.iter().all(|lane| lane.received == lane.sent), "seed {seed}");
        drop(lanes);
        rig.nothing_comes();
        assert_eq!((rig.backend.descriptors(), rig.backend.pending()), (0, 0), "seed {seed}");
    }
}

/// One connection.
struct Lane {
    socket: Rc<Descriptor>,
    peer: UnixStream,
    sent: usize,
    received: usize,
    receiving: Option<Token>,
    ended: bool,
}

impl Lane {
    fn new(rig: &mut Rig, random: &Random) -> Lane {
        let (socket, peer) = rig.pair(BOTH[random.below(2)]);
        let peer = peer.into_real();
        peer.set_nonblocking(true).unwrap();
        Lane { socket, peer, sent: 0, received: 0, receiving: None, ended: false }
    }

    /// Receives, unless it does or the end has come.
    fn arm(&mut self, rig: &mut Rig, index: usize, ops: &mut HashMap<Token, usize>) {
        if self.receiving.is_none() && !self.ended {
            let token = rig.receive(&self.socket);
            self.receiving = Some(token);
            assert_eq!(ops.insert(token, index), None, "a token twice");
        }
    }

    fn step(
        &mut self,
        rig: &mut Rig,
        random: &Random,
        index: usize,
        ops: &mut HashMap<Token, usize>,
    ) {
        match (random.below(3), self.receiving) {
            (0, None) => self.arm(rig, index, ops),
            // It may be cancelled already, or be over and its last completion not drawn.
            (1, Some(token)) => rig.backend.cancel(token),
            _ => {
                let bytes: Vec<u8> = (0..random.below(2 * BUFFER_SIZE))
                    .map(|offset| (self.sent + offset) as u8)
                    .collect();
                self.sent += self.peer.write(&bytes).unwrap_or(0);
            }
        }
    }
}

fn deliver(done: Vec<Completion>, lanes: &mut [Lane], ops: &mut HashMap<Token, usize>, seed: u64) {
    for Completion { token, answer, more } in done {
        let Some(index) = ops.get(&token).copied() else {
            panic!("seed {seed}: an answer to no op: {answer:?}")
        };
        let lane = &mut lanes[index];
        assert_eq!(lane.receiving, Some(token), "seed {seed}");
        if !more {
            ops.remove(&token);
            lane.receiving = None;
        }
        match answer {
            Answer::Received(chunk) => {
                let fits = |(offset, byte): (usize, &u8)| *byte == (lane.received + offset) as u8;
                assert!(chunk.iter().enumerate().all(fits), "seed {seed}: bytes out of order");
                lane.received += chunk.len();
            }
            Answer::EndOfFile => lane.ended = true,
            Answer::Cancelled(None) => {}
            other => panic!("seed {seed}: {other:?}"),
        }
    }
}
