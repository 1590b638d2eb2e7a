//! What is done, drawn from a seed: a list of steps that never looks at what came of them.
//!
//! The steps are such that TCP decides what comes of each, however the keeper goes about it: who ends a
//! connection has read what was on its way to him, and who is reset hears of it by reading. Where that is
//! left out on purpose, all that is said of the rest is that it ends ([`Until::Lost`]).

use aem_tests::random::Random;

/// Connections of one script.
const MOST_CONNECTIONS: usize = 5;

/// What may be on its way to somebody who may not be reading: the kernel takes it, however small its buffers.
const MOST_UNREAD: usize = 16 << 10;

/// What may be queued to somebody who is there to read.
const MOST_SENT: usize = 400 << 10;

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) connection: usize,
    pub(super) is_server: bool,
}

impl End {
    /// The opposite one.
    pub(super) fn other(self) -> End {
        End { is_server: !self.is_server, ..self }
    }
}

/// How far to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// As much as was sent.
    Bytes,
    /// That, and the end.
    End,
    /// The end; nobody knows what of the bytes comes before it.
    Lost,
}

/// What becomes of the future of a send.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sending {
    Awaited,
    /// While the other end reads.
    AwaitedAndRead,
    Dropped,
    /// Begun, and then dropped.
    Left,
}

/// Who reads from now on.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reader {
    Task,
    Handler,
}

/// Something to be done.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Connect,
    /// Begins it, and leaves it.
    LeaveConnect,
    ConnectToNobody,
    /// Until all who are connected are.
    Accept,
    LeaveAccept,
    /// With those whom nobody has accepted.
    DropListener,
    Send(End, usize, Sending),
    LeaveReceive(End),
    Read(End, Until),
    /// From here on its bytes are read by a job.
    ReadOnItsOwn(End, Reader),
    HalfClose(End),
    /// While the other end reads, if it is there.
    Close(End, bool),
    /// All calls of an end that is closed.
    UseClosed(End),
    /// Again and again until it fails, as nobody is there any more.
    SendToNobody(End),
    Drop(End),
    Reset(End),
    /// Several at once, in microseconds.
    Sleep([usize; 3]),
    /// On an end to which nothing is sent.
    ReceiveInVain(End, usize),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Writing {
    #[default]
    Open,
    /// Its direction is ended.
    Ended,
    Closed,
    Gone,
}

/// What is known of an end.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    is_there: bool,
    writing: Writing,
    /// Its connection has gone wrong, so that only its end is certain.
    lost: bool,
    /// Bytes that it sent and the other may not have read.
    unread: usize,
    has_reader: bool,
}

/// The script of a seed.
pub(super) fn script(seed: u64) -> Vec<Step> {
    let mut writer = Writer { random: Random::new(seed), ..Writer::new() };
    writer.connect();
    for _ in 0..10 + writer.random.below(30) {
        writer.write();
    }
    writer.end();
    writer.steps
}

struct Writer {
    random: Random,
    steps: Vec<Step>,
    ends: Vec<[State; 2]>,
    is_listening: bool,
}

impl Writer {
    fn new() -> Writer {
        Writer { random: Random::new(0), steps: Vec::new(), ends: Vec::new(), is_listening: true }
    }

    fn at(&mut self, end: End) -> &mut State {
        &mut self.ends[end.connection][usize::from(end.is_server)]
    }

    fn connect(&mut self) {
        self.steps.push(Step::Connect);
        let client = State { is_there: true, ..State::default() };
        self.ends.push([client, State::default()]);
    }

    fn accept(&mut self) {
        self.steps.push(Step::Accept);
        for ends in &mut self.ends {
            ends[1].is_there |= ends[1].writing != Writing::Gone;
        }
    }

    /// An end that is there, and the state of it and of the other one.
    fn pick(&mut self) -> Option<(End, State, State)> {
        let connection = self.random.below(self.ends.len());
        let end = End { connection, is_server: self.random.one_in(2) };
        let (own, other) = (*self.at(end), *self.at(end.other()));
        own.is_there.then_some((end, own, other))
    }

    /// Everything that was sent to it, and its end if that has come.
    fn read(&mut self, end: End) {
        let (own, other) = (*self.at(end), *self.at(end.other()));
        let until = match other.writing {
            _ if own.lost => Until::Lost,
            Writing::Open => Until::Bytes,
            Writing::Ended | Writing::Closed | Writing::Gone => Until::End,
        };
        if own.is_there && own.writing != Writing::Closed {
            self.steps.push(Step::Read(end, until));
            self.at(end.other()).unread = 0;
        }
    }

    fn go(&mut self, end: End) {
        let own = self.at(end);
        (own.is_there, own.writing) = (false, Writing::Gone);
    }

    /// One more step or two, if what is drawn makes sense.
    fn write(&mut self) {
        match self.random.below(24) {
            0 if self.ends.len() < MOST_CONNECTIONS && self.is_listening => self.connect(),
            1 => self.steps.push(Step::LeaveConnect),
            2 => self.steps.push(Step::ConnectToNobody),
            3 | 4 if self.is_listening => self.accept(),
            5 if self.is_listening => self.steps.push(Step::LeaveAccept),
            6 if self.is_listening && self.random.one_in(4) => self.drop_listener(),
            7 => {
                let times = [300, 300, 2_000].map(|most| self.random.below(most));
                self.steps.push(Step::Sleep(times));
            }
            _ => {
                if let Some((end, own, other)) = self.pick() {
                    self.write_for(end, own, other);
                }
            }
        }
    }

    fn drop_listener(&mut self) {
        self.is_listening = false;
        self.steps.push(Step::DropListener);
        for [client, server] in &mut self.ends {
            if !server.is_there && server.writing == Writing::Open {
                server.writing = Writing::Gone;
                client.lost = true;
            }
        }
    }

    fn write_for(&mut self, end: End, own: State, other: State) {
        let is_open = matches!(own.writing, Writing::Open | Writing::Ended);
        let is_heard = matches!(other.writing, Writing::Open | Writing::Ended);
        match self.random.below(16) {
            0..=3 if is_open && is_heard && !own.lost => self.send(end, own, other),
            4 if is_open => self.steps.push(Step::LeaveReceive(end)),
            5 | 6 => self.read(end),
            7 if is_open && !own.has_reader => {
                let reader = if self.random.one_in(2) { Reader::Task } else { Reader::Handler };
                self.steps.push(Step::ReadOnItsOwn(end, reader));
                self.at(end).has_reader = true;
            }
            8 if own.writing == Writing::Open && !own.lost => {
                if !is_heard {
                    // What it comes to depends on whether the other is gone already.
                    self.read(end);
                }
                self.steps.push(Step::HalfClose(end));
                self.at(end).writing = Writing::Ended;
            }
            9 if is_open && !own.lost => self.close(end, other),
            10 if own.writing == Writing::Closed => self.steps.push(Step::UseClosed(end)),
            11 if own.writing == Writing::Open && !is_heard && !own.lost => {
                // The error is a send's to tell once the end has been heard.
                self.read(end);
                self.steps.push(Step::SendToNobody(end));
                self.at(end).lost = true;
            }
            12 => self.drop(end, own, other),
            13 if is_open && !own.lost => self.reset(end),
            14 if own.writing == Writing::Open && other.writing == Writing::Open && !own.lost => {
                self.read(end);
                let time = self.random.below(300);
                self.steps.push(Step::ReceiveInVain(end, time));
            }
            _ => {}
        }
    }

    fn send(&mut self, end: End, own: State, other: State) {
        let most = if self.random.one_in(8) && other.is_there { MOST_SENT } else { 3_000 };
        let length = 1 + self.random.below(most);
        let is_small = own.unread + length <= MOST_UNREAD;
        if !other.is_there && !is_small || own.unread + length > MOST_SENT {
            return;
        }
        let how = match self.random.below(4) {
            0 | 1 if is_small || own.writing == Writing::Ended => Sending::Awaited,
            0 if other.is_there && other.writing != Writing::Closed => Sending::AwaitedAndRead,
            1 | 2 => Sending::Left,
            _ => Sending::Dropped,
        };
        self.steps.push(Step::Send(end, length, how));
        if own.writing == Writing::Open {
            let is_read = matches!(how, Sending::AwaitedAndRead);
            self.at(end).unread = if is_read { 0 } else { own.unread + length };
        }
    }

    /// What is queued must go before a close ends, so the other end reads.
    fn close(&mut self, end: End, other: State) {
        self.read(end);
        let is_read = other.is_there && other.writing != Writing::Closed && !other.lost;
        self.steps.push(Step::Close(end, is_read));
        self.at(end).writing = Writing::Closed;
    }

    fn drop(&mut self, end: End, own: State, other: State) {
        let is_heard = matches!(other.writing, Writing::Open | Writing::Ended);
        if is_heard && self.random.one_in(3) {
            // Bytes that nobody reads make a reset of it, if they have come that far.
            self.at(end.other()).lost = true;
        } else if !own.lost {
            self.read(end);
        }
        self.steps.push(Step::Drop(end));
        self.go(end);
    }

    fn reset(&mut self, end: End) {
        self.read(end.other());
        self.read(end);
        self.steps.push(Step::Reset(end));
        // Who has heard the end before hears nothing of this, so that it is his secret when it comes.
        self.at(end.other()).lost |= self.at(end).writing == Writing::Ended;
        self.go(end);
        // Who is not accepted yet hears of it when he is.
        self.read(end.other());
    }

    /// Everybody reads to the end.
    fn end(&mut self) {
        if self.is_listening {
            self.accept();
        }
        for connection in 0..self.ends.len() {
            for is_server in [false, true] {
                let end = End { connection, is_server };
                self.read(end);
                if self.at(end).is_there {
                    self.steps.push(Step::Drop(end));
                    self.go(end);
                }
            }
        }
        self.steps.push(Step::ConnectToNobody);
    }
}
