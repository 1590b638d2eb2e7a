//! Who asked what: the ops that are under way, by token.
//!
//! A [`Ledger`] owns each op from the moment it is submitted to its terminal completion (LENT).
//! A [`Token`] is the slot's index and its generation, and a slot changes its generation whenever
//! it is emptied, so that an answer to an op that is over finds nobody (FRESH). An entry is armed,
//! then perhaps cancelling, then gone, exactly once (ONCE).
//!
//! It is plain data without system calls or unsafe code, so that it can be run against a model.

use std::num::NonZeroU32;

/// The name of one op.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Token {
    index: u32,
    generation: NonZeroU32,
}

impl Token {
    /// The slot. Two live tokens never have the same one.
    #[inline]
    pub(crate) fn index(self) -> usize {
        self.index as usize
    }

    /// The token as a number, for a kernel that carries one; it is never below [`Token::LOWEST`].
    #[inline]
    pub(crate) fn to_bits(self) -> u64 {
        u64::from(self.generation.get()) << 32 | u64::from(self.index)
    }

    /// The token that `to_bits` made a number of.
    #[inline]
    pub(crate) fn from_bits(bits: u64) -> Option<Token> {
        Some(Token { index: bits as u32, generation: NonZeroU32::new((bits >> 32) as u32)? })
    }

    /// All numbers of tokens are at least this, and so smaller ones are free for other ends.
    pub(crate) const LOWEST: u64 = 1 << 32;

    /// No token's number has this bit.
    pub(crate) const FREE_BIT: u64 = 1 << 31;
}

/// What lies in a slot.
#[derive(Debug)]
enum State<T> {
    /// Nothing; the index of the next such slot.
    Vacant { next: u32 },
    /// Under way.
    Armed(T),
    /// Under way, and its end was asked for.
    Cancelling(T),
    /// Nothing, and never again: its generations are used up.
    Retired,
}

#[derive(Debug)]
struct Slot<T> {
    generation: NonZeroU32,
    state: State<T>,
}

/// The end of the list of vacant slots.
const NONE: u32 = u32::MAX;

/// More slots than this there never are: see [`Token::FREE_BIT`].
const MOST: u32 = Token::FREE_BIT as u32;

/// The ops that are under way.
#[derive(Debug)]
pub(crate) struct Ledger<T> {
    slots: Vec<Slot<T>>,
    vacant: u32,
    len: usize,
}

impl<T> Ledger<T> {
    /// An empty one.
    pub(crate) fn new() -> Ledger<T> {
        Ledger { slots: Vec::new(), vacant: NONE, len: 0 }
    }

    /// How many are under way.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Enters an op.
    pub(crate) fn insert(&mut self, value: T) -> Token {
        self.len += 1;
        let Some(slot) = self.slots.get_mut(self.vacant as usize) else {
            return self.grow(value);
        };
        let State::Vacant { next } = slot.state else {
            unreachable!("the list of vacant slots leads to one that is not")
        };
        let token = Token { index: self.vacant, generation: slot.generation };
        slot.state = State::Armed(value);
        self.vacant = next;
        token
    }

    fn grow(&mut self, value: T) -> Token {
        let index = u32::try_from(self.slots.len()).ok().filter(|index| *index < MOST);
        let index = index.expect("more than two thousand million ops are under way");
        let generation = NonZeroU32::MIN;
        self.slots.push(Slot { generation, state: State::Armed(value) });
        Token { index, generation }
    }

    /// The op of this token, unless it is over.
    #[inline]
    pub(crate) fn get(&self, token: Token) -> Option<&T> {
        match &self.slots.get(token.index())? {
            Slot { generation, state: State::Armed(value) | State::Cancelling(value) }
                if *generation == token.generation =>
            {
                Some(value)
            }
            _ => None,
        }
    }

    /// The same, to be changed.
    pub(crate) fn get_mut(&mut self, token: Token) -> Option<&mut T> {
        match self.slots.get_mut(token.index())? {
            Slot { generation, state: State::Armed(value) | State::Cancelling(value) }
                if *generation == token.generation =>
            {
                Some(value)
            }
            _ => None,
        }
    }

    /// Whether the end of an op was asked for, and it is not over.
    #[inline]
    pub(crate) fn is_cancelling(&self, token: Token) -> bool {
        self.slots.get(token.index()).is_some_and(|slot| {
            slot.generation == token.generation && matches!(slot.state, State::Cancelling(_))
        })
    }

    /// Notes that the end of an op is asked for; false if it was before, or if the op is over.
    #[must_use]
    pub(crate) fn cancel(&mut self, token: Token) -> bool {
        let Some(slot) = self.slots.get_mut(token.index()) else { return false };
        if slot.generation != token.generation {
            return false;
        }
        match std::mem::replace(&mut slot.state, State::Retired) {
            State::Armed(value) => {
                slot.state = State::Cancelling(value);
                true
            }
            other => {
                slot.state = other;
                false
            }
        }
    }

    /// Takes an op out, whose terminal completion has come; `None` if it is over.
    pub(crate) fn remove(&mut self, token: Token) -> Option<T> {
        let slot = self.slots.get_mut(token.index())?;
        if slot.generation != token.generation {
            return None;
        }
        let vacated = match slot.generation.checked_add(1) {
            Some(generation) => {
                slot.generation = generation;
                State::Vacant { next: self.vacant }
            }
            None => State::Retired,
        };
        let reusable = matches!(vacated, State::Vacant { .. });
        match std::mem::replace(&mut slot.state, vacated) {
            State::Armed(value) | State::Cancelling(value) => {
                if reusable {
                    self.vacant = token.index;
                }
                self.len -= 1;
                Some(value)
            }
            // The generation changes when a slot is emptied, so a token of a vacant one is made
            // up; only a retired slot keeps the generation of its last token.
            State::Vacant { .. } => unreachable!("a token of a vacant slot"),
            State::Retired => None,
        }
    }

    /// The tokens of all that are under way.
    pub(crate) fn tokens(&self) -> impl Iterator<Item = Token> + '_ {
        self.slots.iter().enumerate().filter_map(|(index, slot)| match slot.state {
            State::Armed(_) | State::Cancelling(_) => {
                Some(Token { index: index as u32, generation: slot.generation })
            }
            State::Vacant { .. } | State::Retired => None,
        })
    }
}

#[cfg(test)]
mod tests;
