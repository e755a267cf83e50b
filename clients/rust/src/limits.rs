//! Deadlines of calls.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tonic::{Code, Status};

use crate::Error;

/// By how much a server may find a deadline to have passed before its client does: timeouts travel rounded.
const CLOCK_SKEW: Duration = Duration::from_millis(100);

/// When a call must have ended, tries and waits included.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// None: whenever it does.
    pub(crate) deadline: Option<Instant>,
}

impl Limits {
    /// The limits of a call that begins now.
    pub(crate) fn new(timeout: Option<Duration>) -> Self {
        Self { deadline: timeout.and_then(|timeout| Instant::now().checked_add(timeout)) }
    }

    /// What is left of the time, 0 when it is over; None without a deadline.
    pub(crate) fn left(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// Awaits a call, at most until the deadline, and gives its failure its type.
    pub(crate) async fn bound<T>(&self, call: impl Future<Output = Result<T, Status>>) -> Result<T, Error> {
        let Some(deadline) = self.deadline else {
            return call.await.map_err(|status| self.error_of(status));
        };
        if deadline <= Instant::now() {
            return Err(deadline_passed());
        }
        match timeout_at(deadline, call).await {
            Ok(result) => result.map_err(|status| self.error_of(status)),
            Err(_) => Err(deadline_passed()),
        }
    }

    /// Gives a failure its type. Server and client both watch the deadline. A server that is a moment earlier resets the
    /// stream, which looks like a cancel, and so does the end of the time that tonic takes from the request; that is the
    /// deadline all the same.
    pub(crate) fn error_of(&self, status: Status) -> Error {
        let error = Error::from(status);
        if error.code() == Code::Cancelled && self.left().is_some_and(|left| left < CLOCK_SKEW) {
            return error.with_code(Code::DeadlineExceeded);
        }
        error
    }
}

/// The error of a call whose deadline the client saw pass.
pub(crate) fn deadline_passed() -> Error {
    Status::deadline_exceeded("the deadline passed").into()
}
