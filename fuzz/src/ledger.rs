//! The ledger (FRESH, ONCE): every token that ever was is tried again and again, against a map of those
//! that are live.

use std::collections::{HashMap, HashSet};

use aem::fuzzing::{Ledger, Token};

use crate::{Coverage, Input};

/// What the model knows of an op that is under way.
#[derive(Clone, Copy)]
struct Known {
    value: u32,
    cancelling: bool,
}

/// Plays an input.
pub fn run(input: &[u8]) -> Coverage {
    let mut input = Input::new(input);
    let mut coverage = Coverage::new();
    let ledger = Ledger::default();
    let mut model: HashMap<Token, Known> = HashMap::new();
    let mut tokens: Vec<Token> = Vec::new();
    let mut step = 0;
    while !input.is_empty() {
        step += 1;
        let operation = input.below(8);
        // Two bytes, as there may be more than 256 of them. Most are stale.
        let drawn = usize::from(input.byte()) << 8 | usize::from(input.byte());
        let token = (!tokens.is_empty()).then(|| tokens[drawn % tokens.len()]);
        let name = match (operation, token) {
            (0..=2, _) | (_, None) => {
                let token = ledger.insert(step);
                let known = Known { value: step, cancelling: false };
                assert!(model.insert(token, known).is_none(), "a token was given twice");
                tokens.push(token);
                "insert"
            }
            (3 | 4, Some(token)) => {
                let expected = model.remove(&token).map(|known| known.value);
                assert_eq!(ledger.remove(token), expected);
                if expected.is_some() { "remove" } else { "remove what is gone" }
            }
            (5, Some(token)) => {
                let armed = model.get_mut(&token).filter(|known| !known.cancelling);
                let expected = armed.map(|known| known.cancelling = true).is_some();
                assert_eq!(ledger.cancel(token), expected);
                if expected { "cancel" } else { "cancel what is gone" }
            }
            (6, Some(token)) => {
                let known = model.get_mut(&token);
                assert_eq!(
                    ledger.set(token, step),
                    known.map(|known| known.value = step).is_some()
                );
                "set"
            }
            (_, Some(token)) => {
                assert_eq!(ledger.get(token), model.get(&token).map(|known| known.value));
                "get"
            }
        };
        *coverage.entry(name).or_default() += 1;
        assert_eq!(ledger.len(), model.len());
    }
    let live: HashSet<Token> = ledger.tokens().into_iter().collect();
    assert_eq!(live, model.keys().copied().collect::<HashSet<_>>());
    let slots: HashSet<usize> = live.iter().map(|token| token.index()).collect();
    assert_eq!(slots.len(), live.len(), "two live tokens have one slot");
    coverage
}
