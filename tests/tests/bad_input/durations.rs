//! Durations of nothing, and durations beyond all time.

use std::time::{Duration, Instant};

use aem::time::{Missed, after, every, now, sleep, sleep_until, timeout};
use futures::StreamExt;

use super::{panic_of, run};

const MOMENT: Duration = Duration::from_millis(2);

/// What lies beyond the clock, and what lies as far away as it can say.
const HUGE: [Duration; 3] =
    [Duration::MAX, Duration::from_secs(u64::MAX), Duration::from_secs(1 << 62)];

/// Nothing that is waited for comes; time goes on all the same.
async fn assert_never<T>(future: impl Future<Output = T>) {
    assert!(timeout(MOMENT, future).await.is_err());
}

#[test]
fn huge_durations_are_never() {
    run(async || {
        for huge in HUGE {
            assert_never(sleep(huge)).await;
            assert_never(timeout(huge, std::future::pending::<()>())).await;
            assert_never(after(huge).next()).await;
            assert_never(every(huge).tick()).await;
            assert_eq!(timeout(huge, async { 1 }).await, Ok(1));
            assert_eq!(timeout(huge, sleep(MOMENT)).await, Ok(()));
            let held = aem::on(every(huge), |_| ());
            aem::on(after(huge), |_| ()).detach();
            aem::spawn(sleep(huge));
            sleep(MOMENT).await;
            assert!(!held.is_ended());
        }
        // Centuries ahead, and still an instant.
        let far = now() + Duration::from_secs(1 << 40);
        assert_never(sleep_until(far)).await;
        let mut sleep = sleep(MOMENT);
        sleep.reset_after(Duration::MAX);
        assert_never(&mut sleep).await;
        sleep.reset_after(Duration::ZERO);
        sleep.await;
    });
}

#[test]
fn no_time_at_all_is_over_at_once() {
    run(async || {
        sleep(Duration::ZERO).await;
        sleep_until(now()).await;
        let past = Instant::now().checked_sub(Duration::from_secs(1)).expect("up for a second");
        sleep_until(past).await;
        assert!(timeout(Duration::ZERO, std::future::pending::<()>()).await.is_err());
        assert_eq!(timeout(Duration::ZERO, async { 2 }).await, Ok(2));
        let mut once = after(Duration::ZERO);
        assert!(once.next().await.is_some());
        assert!(once.next().await.is_none());
        let error = std::io::Error::from(timeout(Duration::ZERO, sleep(MOMENT)).await.unwrap_err());
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    });
}

#[test]
fn a_period_of_nothing_panics() {
    let text = run(async || panic_of(|| every(Duration::ZERO)));
    assert!(text.contains("every") && text.contains("zero"), "{text}");
}

#[test]
fn a_period_of_next_to_nothing_starves_nobody() {
    run(async || {
        for policy in [Missed::Skip, Missed::Burst, Missed::Delay] {
            let held = aem::on(every(Duration::from_nanos(1)).missed(policy), |_| ());
            timeout(Duration::from_secs(5), sleep(MOMENT)).await.expect("others run");
            held.stop();
            let mut ticks = every(Duration::from_nanos(1)).missed(policy);
            sleep(MOMENT).await;
            let tick = ticks.tick().await;
            assert!(policy == Missed::Burst || tick.missed > 1_000, "{tick:?}");
        }
    });
}

#[test]
fn scopes_close_in_no_time_and_in_all_of_it() {
    run(async || {
        let scope = aem::Scope::new();
        scope.on(futures::stream::pending::<()>(), |()| ());
        aem::yield_now().await;
        let report = scope.close(Duration::MAX).await;
        assert_eq!((report.ended, report.cancelled.len()), (1, 0), "a handler ends when asked");
        let scope = aem::Scope::new();
        drop(scope.spawn(std::future::pending::<()>()));
        let report = scope.close(Duration::ZERO).await;
        assert_eq!(report.cancelled.len(), 1);
    });
}
