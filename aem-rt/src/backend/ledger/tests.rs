//! The ledger against a model, over many random histories.

use std::collections::HashMap;

use super::*;

/// A small generator of numbers (xorshift64*), so that a failure can be repeated by its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % limit
    }
}

/// What the model knows of an op that is under way.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Known {
    value: u32,
    cancelling: bool,
}

#[test]
fn behaves_as_the_model_does() {
    for seed in 1..=40 {
        let mut random = Random(seed);
        let mut ledger = Ledger::new();
        let mut model: HashMap<Token, Known> = HashMap::new();
        let mut tokens: Vec<Token> = Vec::new();
        for step in 0..2_000_u32 {
            // Tokens are drawn from all that ever were, so most of them are stale: FRESH.
            let drawn = (!tokens.is_empty()).then(|| tokens[random.below(tokens.len())]);
            match (random.below(8), drawn) {
                (0..=2, _) | (_, None) => {
                    let token = ledger.insert(step);
                    let known = Known { value: step, cancelling: false };
                    assert_eq!(model.insert(token, known), None, "seed {seed}: a token twice");
                    tokens.push(token);
                }
                (3 | 4, Some(token)) => {
                    let expected = model.remove(&token).map(|known| known.value);
                    assert_eq!(ledger.remove(token), expected, "seed {seed}");
                }
                (5, Some(token)) => {
                    let armed = model.get_mut(&token).filter(|known| !known.cancelling);
                    let expected = armed.map(|known| known.cancelling = true).is_some();
                    assert_eq!(ledger.cancel(token), expected, "seed {seed}");
                }
                (6, Some(token)) => {
                    if let Some(value) = ledger.get_mut(token) {
                        *value += 1;
                    }
                    model.entry(token).and_modify(|known| known.value += 1);
                }
                (_, Some(token)) => {
                    let expected = model.get(&token).map(|known| known.value);
                    assert_eq!(ledger.get(token).copied(), expected, "seed {seed}");
                }
            }
            assert_eq!(ledger.len(), model.len());
        }
        let mut indices: Vec<usize> = ledger.tokens().map(Token::index).collect();
        assert!(ledger.tokens().all(|token| model.contains_key(&token)));
        indices.dedup();
        assert_eq!(indices.len(), model.len(), "two live tokens never share a slot");
    }
}

#[test]
fn a_slot_is_retired_before_a_token_comes_twice() {
    let mut ledger = Ledger::new();
    let first = ledger.insert('a');
    assert_eq!(ledger.remove(first), Some('a'));
    ledger.slots[0].generation = NonZeroU32::MAX;
    let last = ledger.insert('b');
    assert_eq!(last.index(), 0);
    assert_eq!(ledger.remove(last), Some('b'));
    assert_eq!(ledger.remove(last), None);
    assert!(!ledger.cancel(last));
    assert_eq!(ledger.get(last), None);
    let next = ledger.insert('c');
    assert_eq!(next.index(), 1);
    assert_eq!(ledger.len(), 1);
}

#[test]
fn values_are_dropped_once() {
    let value = std::rc::Rc::new(());
    let mut ledger = Ledger::new();
    let tokens: Vec<Token> = (0..4).map(|_| ledger.insert(value.clone())).collect();
    assert!(ledger.cancel(tokens[0]));
    drop(ledger.remove(tokens[0]));
    drop(ledger.remove(tokens[1]));
    assert_eq!(std::rc::Rc::strong_count(&value), 3);
    drop(ledger);
    assert_eq!(std::rc::Rc::strong_count(&value), 1);
}
