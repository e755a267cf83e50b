//! Which calls are made again, and when.

use std::time::Duration;

use tokio::time::sleep;
use tonic::Code;

use crate::Error;
use crate::limits::Limits;

/// gRPC's trailer by which a server says after how many milliseconds it wants the next try; below 0 or no number: never.
const PUSHBACK: &str = "grpc-retry-pushback-ms";

/// How often and when a call is made again: names and meaning are those of gRPC's service config (gRFC A6), which tonic has
/// not.
///
/// By default a call is made again when the server cannot be reached, drains or loads (`UNAVAILABLE`). A stream whose first
/// event has come is never made again, nor is a call that loads or unloads a model. What is `RESOURCE_EXHAUSTED` is left to
/// the caller, who knows whether to wait as long as the server asks ([`Error::retry_after`]).
#[derive(Clone, Debug, PartialEq)]
pub struct RetryPolicy {
    /// Tries in all, the first one included. Default 4.
    pub max_attempts: u32,
    /// Wait before the second try, give or take a fifth so that clients do not come back together. Default 0.2 s.
    pub initial_backoff: Duration,
    /// Longest wait that is not the server's own wish. Default 5 s.
    pub max_backoff: Duration,
    /// What the wait is multiplied by from try to try. Default 2.
    pub backoff_multiplier: f64,
    /// Which failures are tried again. Default `UNAVAILABLE`. `RESOURCE_EXHAUSTED`, a full queue or a spent quota, wants a longer
    /// backoff than the default: the server says by [`Error::retry_after`] when there will be room, and the policy does not
    /// read that.
    pub retryable_status_codes: Vec<Code>,
}

impl RetryPolicy {
    /// Makes no call again.
    pub fn never() -> Self {
        Self { max_attempts: 1, ..Self::default() }
    }

    /// Whether the try that follows try number `attempt`, from 1, is to be made at all.
    fn allows(&self, error: &Error, attempt: u32) -> bool {
        attempt < self.max_attempts && self.retryable_status_codes.contains(&error.code())
    }

    /// How long to wait before a try that the server has not said when to make, if there were `unasked` such tries in a row.
    fn backoff(&self, unasked: u32) -> Duration {
        let exponent = i32::try_from(unasked).unwrap_or(i32::MAX);
        let longest = self.max_backoff.as_secs_f64();
        // min takes the other number if this is none.
        let backoff = (self.initial_backoff.as_secs_f64() * self.backoff_multiplier.powi(exponent)).min(longest).max(0.0);
        Duration::try_from_secs_f64(backoff * (0.8 + 0.4 * fastrand::f64())).unwrap_or(self.max_backoff)
    }
}

/// When the server wants the next try: None if it does not say, an inner None for never.
fn pushback(error: &Error) -> Option<Option<Duration>> {
    let value = error.status().metadata().get(PUSHBACK)?;
    Some(value.to_str().ok().and_then(|text| text.parse().ok()).map(Duration::from_millis))
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_attempts: 4,
            initial_backoff: Duration::from_millis(200),
            max_backoff: Duration::from_secs(5),
            backoff_multiplier: 2.0,
            retryable_status_codes: vec![Code::Unavailable],
        }
    }
}

/// Makes a call, and makes it again as the policy and the server say, unless that would be after the deadline. `attempt` makes
/// one try, and is told how many there were before.
pub(crate) async fn run<T, F>(policy: &RetryPolicy, limits: &Limits, mut attempt: impl FnMut(u32) -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, tonic::Status>>,
{
    let mut unasked = 0; // tries since the server last said when
    for previous in 0.. {
        let error = match limits.bound(attempt(previous)).await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        if !policy.allows(&error, previous + 1) {
            return Err(error);
        }
        let wait = match pushback(&error) {
            Some(None) => return Err(error),
            Some(Some(asked)) => {
                unasked = 0;
                asked
            }
            None => {
                unasked += 1;
                policy.backoff(unasked - 1)
            }
        };
        if limits.left().is_some_and(|left| wait >= left) {
            return Err(error);
        }
        sleep(wait).await;
    }
    unreachable!("the policy ends the tries")
}

#[cfg(test)]
mod tests {
    use tonic::Status;
    use tonic::metadata::MetadataMap;

    use super::*;

    fn asking(pushback: &str) -> Error {
        let mut metadata = MetadataMap::new();
        metadata.insert(PUSHBACK, pushback.parse().unwrap());
        Status::with_metadata(Code::ResourceExhausted, "full", metadata).into()
    }

    #[test]
    fn waits_grow_up_to_the_longest() {
        let policy = RetryPolicy::default();
        for (unasked, seconds) in [(0, 0.2), (1, 0.4), (2, 0.8), (19, 5.0), (u32::MAX, 5.0)] {
            for _ in 0..100 {
                let wait = policy.backoff(unasked).as_secs_f64();
                assert!((seconds * 0.8..=seconds * 1.2).contains(&wait), "{wait} s after {unasked} tries");
            }
        }
    }

    #[test]
    fn what_is_tried_again() {
        let (drains, full) = (Error::from(Status::unavailable("drains")), asking("20"));
        let policy = RetryPolicy::default();
        assert!(policy.allows(&drains, 1) && policy.allows(&drains, 3) && !policy.allows(&drains, 4));
        assert!(!policy.allows(&full, 1) && !RetryPolicy::never().allows(&drains, 1));
        let waits = RetryPolicy { retryable_status_codes: vec![Code::ResourceExhausted], ..policy };
        assert!(waits.allows(&full, 1) && !waits.allows(&drains, 1));
    }

    #[test]
    fn the_server_says_when() {
        assert_eq!(pushback(&asking("3000")), Some(Some(Duration::from_secs(3))));
        for never in ["-1", "soon", ""] {
            assert_eq!(pushback(&asking(never)), Some(None), "{never:?}");
        }
        assert_eq!(pushback(&Status::unavailable("drains").into()), None);
    }

    #[test]
    fn odd_policies_do_no_harm() {
        for backoff_multiplier in [f64::NAN, f64::INFINITY, -1.0, 0.0] {
            let policy = RetryPolicy { backoff_multiplier, ..RetryPolicy::default() };
            assert!(policy.backoff(1) <= Duration::from_secs(6));
        }
    }
}
