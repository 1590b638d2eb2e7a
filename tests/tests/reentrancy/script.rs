//! The words of the matrix: what is done, to whom, from where, and what is heard of it.

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// A new handler is registered; its one event sends [`SENT_BY_HANDLER`] to the target.
    Register,
    Pause,
    /// The target was paused before: the sibling from its birth, the parent by its own word, the actor
    /// twice by itself just now.
    Resume,
    Stop,
    /// Another plain handler takes the place of the target's.
    Replace,
    /// The `Registration` or `JoinHandle` is dropped.
    Drop,
    /// What comes back is counted and dropped.
    Reclaim,
    /// A new task sends [`SENT_BY_TASK`] to the target.
    Spawn,
    Abort,
    /// The target alone is in that scope.
    ScopeStop,
    /// The target works on that state.
    TryWith,
}

/// To whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// The actor: whose handler, source, `on_end` or captured value does it, or the task that does it.
    Itself,
    /// Another handler, registered after the actor by the same parent, with events waiting.
    Sibling,
    /// The handler that registered the actor, with events waiting.
    Parent,
    /// A task that takes events from a source of its own, with events waiting.
    Task,
}

/// From where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Handler,
    AsyncHandler,
    Task,
    OnEnd,
    /// The destructor of a value that the actor's handler captured.
    Drop,
    /// `poll_next` of the actor's source, which has an event and returns it afterwards.
    Poll,
    /// The same, but it has none and returns `Pending`.
    PollInVain,
}

/// The state that the sibling is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sibling {
    /// A plain handler between events.
    Between,
    /// An async handler that waits in the middle of its first event, for a gate that opens later.
    Amid,
}

/// One cell of the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) action: Action,
    pub(crate) target: Target,
    pub(crate) place: Place,
    pub(crate) sibling: Sibling,
}

pub(crate) const ACTIONS: [Action; 11] = [
    Action::Register,
    Action::Pause,
    Action::Resume,
    Action::Stop,
    Action::Replace,
    Action::Drop,
    Action::Reclaim,
    Action::Spawn,
    Action::Abort,
    Action::ScopeStop,
    Action::TryWith,
];

pub(crate) const TARGETS: [Target; 4] =
    [Target::Itself, Target::Sibling, Target::Parent, Target::Task];

pub(crate) const PLACES: [Place; 7] = [
    Place::Handler,
    Place::AsyncHandler,
    Place::Task,
    Place::OnEnd,
    Place::Drop,
    Place::Poll,
    Place::PollInVain,
];

/// Who is heard of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Parent,
    Actor,
    Sibling,
    Task,
    /// Made by the action.
    New,
}

/// The order in which they are fed, resumed and closed.
pub(crate) const FAMILY: [Who; 4] = [Who::Actor, Who::Sibling, Who::Task, Who::Parent];

impl Cell {
    pub(crate) fn target(self) -> Who {
        match self.target {
            Target::Itself => Who::Actor,
            Target::Sibling => Who::Sibling,
            Target::Parent => Who::Parent,
            Target::Task => Who::Task,
        }
    }

    /// Whether that one is what the action is aimed at, and the action is this one.
    pub(crate) fn aims(self, action: Action, who: Who) -> bool {
        self.action == action && self.target() == who
    }
}

/// The handler of a registration, or the one that replaced it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hand {
    First,
    Second,
}

/// What the action gave back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Done,
    Replaced(bool),
    /// A source with so many events in it, or none.
    Reclaimed(Option<usize>),
    /// Whether the state was lent.
    Lent(bool),
}

/// How a registration ended. None of them fails in here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Exhausted,
    Stopped,
    Failed,
}

/// A line of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// A handler or a task was given an event.
    Saw(Who, Hand, u32),
    /// An async handler or a task has finished with an event.
    Did(Who, u32),
    /// An event was dropped that nobody had finished with.
    Lost(Who, u32),
    /// A handler was dropped, or what a task owned.
    Gone(Who, Hand),
    /// A source was dropped.
    Source(Who),
    /// `on_end` was called.
    Heard(Who, Ended),
    /// The action has returned.
    Acted(Answer),
    /// A task was joined: true if it ended by itself.
    Joined(Who, bool),
    /// What the state counted: one for each event of those who work on it, a hundred for the action.
    Count(u32),
}

/// The events that each source holds from its beginning.
pub(crate) const FIRST_EVENTS: [u32; 3] = [0, 1, 2];
/// The event at which the actor acts, or ends in order to.
pub(crate) const ACTING_EVENT: u32 = 1;
/// Sent to all just before the action, so that all have something waiting; not to an actor that finds
/// nothing in its source.
pub(crate) const BATCH_EVENT: u32 = 7;
/// Sent to all later, to see who is alive.
pub(crate) const LATER_EVENT: u32 = 3;
pub(crate) const SENT_BY_HANDLER: u32 = 90;
pub(crate) const SENT_BY_TASK: u32 = 91;
/// What the action adds to the state.
pub(crate) const ADDED: u32 = 100;

/// Why a cell makes no sense, if it does not.
pub(crate) fn why_not(action: Action, target: Target, place: Place) -> Option<&'static str> {
    use Action::{Abort, Pause, Reclaim, Replace, Resume, Stop};
    let of_registrations = matches!(action, Pause | Resume | Stop | Replace | Reclaim);
    let is_task = target == Target::Task || (target == Target::Itself && place == Place::Task);
    match (action, is_task) {
        _ if of_registrations && is_task => Some("a JoinHandle has no such verb"),
        (Abort, false) => Some("a Registration has no abort: stop is its verb"),
        _ => None,
    }
}
