//! Which calls are made again, and when.

use std::time::Duration;

use tokio::time::sleep;
use tonic::Code;

use crate::Error;
use crate::limits::Limits;

/// How often and when a call is made again. The names are those of gRPC's service config, which tonic has not.
///
/// A call is made again when the server cannot be reached, drains or loads (`UNAVAILABLE`), and when it is full and says when
/// to come back (`RESOURCE_EXHAUSTED` with `RetryInfo`). A stream whose first event has come is never made again, nor is a
/// call that loads or unloads a model.
#[derive(Clone, Debug, PartialEq)]
pub struct RetryPolicy {
    /// Tries in all, the first one included. Default 4.
    pub max_attempts: u32,
    /// Wait before the second try, give or take a fifth so that clients do not come back together. Default 0.2 s.
    pub initial_backoff: Duration,
    /// Longest wait. A server that asks for a longer one is not asked again. Default 5 s.
    pub max_backoff: Duration,
    /// What the wait is multiplied by from try to try. Default 2.
    pub backoff_multiplier: f64,
}

impl RetryPolicy {
    /// Makes no call again.
    pub fn never() -> Self {
        Self { max_attempts: 1, ..Self::default() }
    }

    /// How long to wait before the try that follows try number `attempt`, from 1; None if there is none.
    fn backoff(&self, error: &Error, attempt: u32) -> Option<Duration> {
        let asked = error.retry_after();
        let retryable = match error.code() {
            Code::Unavailable => true,
            Code::ResourceExhausted => asked.is_some(),
            _ => false,
        };
        let asked = asked.unwrap_or_default();
        if !retryable || attempt >= self.max_attempts || asked > self.max_backoff {
            return None;
        }
        let exponent = i32::try_from(attempt - 1).unwrap_or(i32::MAX);
        let longest = self.max_backoff.as_secs_f64();
        // min takes the other number if this is none.
        let backoff = (self.initial_backoff.as_secs_f64() * self.backoff_multiplier.powi(exponent)).min(longest).max(0.0);
        // Never before the time that the server asks for.
        let wait = asked.as_secs_f64().max(backoff * 0.8) + fastrand::f64() * 0.4 * backoff;
        Duration::try_from_secs_f64(wait).ok()
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_attempts: 4,
            initial_backoff: Duration::from_millis(200),
            max_backoff: Duration::from_secs(5),
            backoff_multiplier: 2.0,
        }
    }
}

/// Makes a call, and makes it again as the policy says, unless that would be after the deadline.
pub(crate) async fn run<T, F>(policy: &RetryPolicy, limits: &Limits, mut attempt: impl FnMut() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, tonic::Status>>,
{
    for number in 1.. {
        let error = match limits.bound(attempt()).await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        match policy.backoff(&error, number) {
            Some(wait) if limits.left().is_none_or(|left| wait < left) => sleep(wait).await,
            _ => return Err(error),
        }
    }
    unreachable!("the policy ends the tries")
}

#[cfg(test)]
mod tests {
    use tonic::Status;
    use tonic_types::{ErrorDetails, StatusExt};

    use super::*;

    fn full(delay: Duration) -> Error {
        let details = ErrorDetails::with_retry_info(Some(delay));
        Status::with_error_details(Code::ResourceExhausted, "full", details).into()
    }

    #[test]
    fn waits_grow_up_to_the_longest() {
        let policy = RetryPolicy { max_attempts: 100, ..RetryPolicy::default() };
        let drains = Error::from(Status::unavailable("drains"));
        for (attempt, seconds) in [(1, 0.2), (2, 0.4), (3, 0.8), (20, 5.0), (99, 5.0)] {
            for _ in 0..100 {
                let wait = policy.backoff(&drains, attempt).unwrap().as_secs_f64();
                assert!((seconds * 0.8..=seconds * 1.2).contains(&wait), "{wait} s before try {}", attempt + 1);
            }
        }
        assert_eq!(policy.backoff(&drains, 100), None);
    }

    #[test]
    fn the_server_says_when() {
        let policy = RetryPolicy::default();
        let wait = policy.backoff(&full(Duration::from_secs(3)), 1).unwrap();
        assert!(wait >= Duration::from_secs(3));
        assert_eq!(policy.backoff(&full(Duration::from_secs(6)), 1), None);
        assert_eq!(policy.backoff(&Status::resource_exhausted("too large").into(), 1), None);
    }

    #[test]
    fn odd_policies_do_no_harm() {
        let drains = Error::from(Status::unavailable("drains"));
        for backoff_multiplier in [f64::NAN, f64::INFINITY, -1.0, 0.0] {
            let policy = RetryPolicy { backoff_multiplier, ..RetryPolicy::default() };
            assert!(policy.backoff(&drains, 2).unwrap() <= Duration::from_secs(6));
        }
        assert_eq!(RetryPolicy::never().backoff(&drains, 1), None);
    }
}
