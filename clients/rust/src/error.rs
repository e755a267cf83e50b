//! Failed calls.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

/// A failed call: the server's status with its details, or the client's own.
#[derive(Clone, Debug)]
pub struct Error(Box<Failure>);

#[derive(Clone, Debug)]
struct Failure {
    status: Status,
    details: ErrorDetails,
}

impl Error {
    /// The gRPC status code.
    pub fn code(&self) -> Code {
        self.0.status.code()
    }

    /// The server's text.
    pub fn message(&self) -> &str {
        self.0.status.message()
    }

    /// The fields of the request that an `INVALID_ARGUMENT` is about, such as `sampling.top_p`, each with what is wrong.
    pub fn field_violations(&self) -> &[FieldViolation] {
        self.0.details.bad_request().map_or(&[], |bad| &bad.field_violations)
    }

    /// How long the server asks to wait before the next try.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.details.retry_info().and_then(|info| info.retry_delay)
    }

    /// The machine-readable reason that the server gave, such as `QUEUE_FULL`.
    pub fn reason(&self) -> Option<&str> {
        self.0.details.error_info().map(|info| &*info.reason)
    }

    /// Name of the resource that a `NOT_FOUND` is about, such as a model's.
    pub fn resource(&self) -> Option<&str> {
        self.0.details.resource_info().map(|info| &*info.resource_name)
    }

    /// All standard details of the status.
    pub fn details(&self) -> &ErrorDetails {
        &self.0.details
    }

    /// The status itself, with its metadata.
    pub fn status(&self) -> &Status {
        &self.0.status
    }

    /// The same error with another code.
    pub(crate) fn with_code(mut self, code: Code) -> Self {
        self.0.status = recode(self.0.status, code);
        self
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        let status = match transport_code(&status) {
            Some(code) if code != status.code() => recode(status, code),
            _ => status,
        };
        let details = status.get_error_details();
        Self(Box::new(Failure { status, details }))
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        error.0.status
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.code(), self.message())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.status.source()
    }
}

fn recode(status: Status, code: Code) -> Status {
    let mut other =
        Status::with_details_and_metadata(code, status.message(), status.details().to_vec().into(), status.metadata().clone());
    other.set_source(Arc::new(status));
    other
}

/// The code of a failure that the transport found; None for what the server said or tonic knows.
///
/// tonic gives a status the error of the transport as its source, and often a code that gRPC has not for it: a connection
/// that breaks is `UNKNOWN` or `CANCELLED` to it and `UNAVAILABLE` to gRPC, whose table of HTTP/2's codes this follows
/// (PROTOCOL-HTTP2.md).
fn transport_code(status: &Status) -> Option<Code> {
    let mut next = status.source();
    next?;
    let mut canceled = status.code() == Code::Cancelled;
    while let Some(error) = next {
        if error.is::<io::Error>() || error.is::<tonic::ConnectError>() {
            return Some(Code::Unavailable);
        }
        if error.is::<tonic::TimeoutExpired>() {
            canceled = false;
        }
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            return Some(if error.is_io() || error.is_go_away() { Code::Unavailable } else { http2_code(error.reason()) });
        }
        next = error.source();
    }
    // A request whose connection ended before it was sent.
    canceled.then_some(Code::Unavailable)
}

fn http2_code(reason: Option<h2::Reason>) -> Code {
    match reason {
        Some(h2::Reason::REFUSED_STREAM) => Code::Unavailable,
        Some(h2::Reason::CANCEL) => Code::Cancelled,
        Some(h2::Reason::ENHANCE_YOUR_CALM) => Code::ResourceExhausted,
        Some(h2::Reason::INADEQUATE_SECURITY) => Code::PermissionDenied,
        _ => Code::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The code of the error of a status with a source.
    fn code_of(code: Code, source: impl StdError + Send + Sync + 'static) -> Code {
        let mut status = Status::new(code, "x");
        status.set_source(Arc::new(source));
        Error::from(status).code()
    }

    #[test]
    fn failures_of_the_transport() {
        assert_eq!(code_of(Code::Unknown, io::Error::from(io::ErrorKind::BrokenPipe)), Code::Unavailable);
        assert_eq!(code_of(Code::Cancelled, fmt::Error), Code::Unavailable);
        assert_eq!(code_of(Code::Cancelled, tonic::TimeoutExpired(())), Code::Cancelled);
        for (reason, code) in [
            (h2::Reason::REFUSED_STREAM, Code::Unavailable),
            (h2::Reason::CANCEL, Code::Cancelled),
            (h2::Reason::ENHANCE_YOUR_CALM, Code::ResourceExhausted),
            (h2::Reason::PROTOCOL_ERROR, Code::Internal),
        ] {
            assert_eq!(code_of(Code::Unknown, h2::Error::from(reason)), code);
        }
        assert_eq!(Error::from(Status::cancelled("by the server")).code(), Code::Cancelled);
        assert_eq!(code_of(Code::Internal, fmt::Error), Code::Internal);
    }

    #[test]
    fn another_code_keeps_the_rest() {
        let details = ErrorDetails::with_error_info("WHY", "sluice", []);
        let error = Error::from(Status::with_error_details(Code::Cancelled, "x", details)).with_code(Code::DeadlineExceeded);
        assert_eq!((error.code(), error.reason(), error.message()), (Code::DeadlineExceeded, Some("WHY"), "x"));
        assert_eq!(error.to_string(), "DeadlineExceeded: x");
        assert_eq!(Status::from(error).code(), Code::DeadlineExceeded);
    }
}
