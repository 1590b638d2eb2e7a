//! A registration against a model of it: whatever is done to it, in whatever order, both tell the same story.
//!
//! Its states are started, paused, at work on an event, resting, stopped, replaced and ended; what moves it
//! is what its owner does, what its source has, and what its handler returns or does to it from inside.
//! Sequences of all that are generated, and a failure is shrunk to a short one. AGAIN, KEPT: no event is lost
//! or seen twice.

#[path = "model/expected.rs"]
mod expected;
#[path = "model/played.rs"]
mod played;

use aem_tests::keepers;
use aem_tests::scale::scaled_count;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};

use expected::Model;
use played::Stage;

/// How a handler is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Face {
    Plain,
    /// It waits for a permit with each event.
    Async,
}

/// What a handler does with an event before it returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Nothing,
    Pause,
    Stop,
    Replace(Face),
    /// Asks for the source back.
    Reclaim,
}

/// What it returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Returned {
    Keep,
    Pause,
    Stop,
    Error,
    Panic,
}

/// An event: its number is given when it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Event {
    number: u32,
    deed: Deed,
    returned: Returned,
}

/// What happens to a registration.
#[derive(Clone, Copy, Debug)]
enum Step {
    Send(Deed, Returned),
    /// The source gets no more events.
    Close,
    Pause,
    Resume,
    Stop,
    Replace(Face),
    /// An async handler may go on with so many events.
    Permit(u32),
    Reclaim,
    Detach,
    Drop,
    /// All jobs run until none is ready.
    Settle,
}

/// What can be seen of it all.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Sight {
    /// A handler, by its number, has got an event.
    Began(u32, u32),
    /// It has returned from it.
    Finished(u32, u32),
    /// It was dropped with the event in progress.
    Abandoned(u32, u32),
    /// Whether a replacement was accepted.
    Replaced(bool),
    /// The events that came back with the source; none without it.
    Reclaimed(Option<Vec<u32>>),
    Ended(Ending),
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Exhausted,
    Stopped,
    Failed,
    Panicked,
}

/// How it begins, and what happens then.
#[derive(Clone, Debug)]
struct Story {
    face: Face,
    paused: bool,
    /// So many failures are borne, if it is supervised, by handlers of this kind.
    bears: Option<(u32, Face)>,
    steps: Vec<Step>,
}

fn face() -> impl Strategy<Value = Face> {
    prop_oneof![Just(Face::Plain), Just(Face::Async)]
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        12 => Just(Deed::Nothing),
        1 => Just(Deed::Pause),
        1 => Just(Deed::Stop),
        2 => face().prop_map(Deed::Replace),
        1 => Just(Deed::Reclaim),
    ]
}

fn returned() -> impl Strategy<Value = Returned> {
    prop_oneof![
        12 => Just(Returned::Keep),
        2 => Just(Returned::Pause),
        1 => Just(Returned::Stop),
        1 => Just(Returned::Error),
        1 => Just(Returned::Panic),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (deed(), returned()).prop_map(|(deed, returned)| Step::Send(deed, returned)),
        1 => Just(Step::Close),
        2 => Just(Step::Pause),
        3 => Just(Step::Resume),
        1 => Just(Step::Stop),
        2 => face().prop_map(Step::Replace),
        3 => (1..4_u32).prop_map(Step::Permit),
        1 => Just(Step::Reclaim),
        1 => Just(Step::Detach),
        1 => Just(Step::Drop),
        6 => Just(Step::Settle),
    ]
}

fn story() -> impl Strategy<Value = Story> {
    let bears = prop_oneof![2 => Just(None), 1 => (0..3_u32, face()).prop_map(Some)];
    let steps = prop::collection::vec(step(), 1..40);
    let all = (face(), prop::bool::weighted(0.1), bears, steps);
    all.prop_map(|(face, paused, bears, steps)| Story { face, paused, bears, steps })
}

#[test]
fn feature_28_a_registration_does_as_its_model() {
    // The panics of handlers are meant, and there are thousands.
    std::panic::set_hook(Box::new(|panic| {
        if panic.payload_as_str().is_none_or(|text| text != played::MEANT) {
            eprintln!("{panic}");
        }
    }));
    let seed = std::env::var("AEM_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    for keeper in keepers::both() {
        let config = Config {
            cases: scaled_count(100_000, 1_000) as u32,
            rng_seed: seed.map_or(RngSeed::Random, RngSeed::Fixed),
            failure_persistence: None,
            ..Config::default()
        };
        let builder = keepers::builder(keeper).on_error(|_, _| {});
        let runtime = builder.build().expect("a runtime");
        let result = TestRunner::new(config).run(&story(), |story| {
            let expected = Model::tell(&story);
            let seen = runtime.block_on(Stage::play(&story));
            prop_assert_eq!(seen, expected);
            Ok(())
        });
        if let Err(error) = result {
            panic!("{}: {error}", keepers::name(keeper));
        }
    }
}
