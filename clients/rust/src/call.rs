//! A call that is about to be made.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use tonic::metadata::{AsciiMetadataKey, MetadataMap};
use tonic::{Request, Response, Status};

use crate::limits::Limits;
use crate::{Error, RetryPolicy, retry};

/// The future of a call.
pub(crate) type CallFuture<T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send>>;

/// A call that is made when it is awaited. Dropping its future cancels it: the server stops the work at its next step.
///
/// ```no_run
/// # async fn example(client: sluice_client::Client) -> Result<(), sluice_client::Error> {
/// use std::time::Duration;
///
/// let answer = client.generate("The capital of France is").timeout(Duration::from_secs(10)).await?;
/// println!("{}", answer.text());
/// # Ok(())
/// # }
/// ```
#[must_use = "a call is made when it is awaited"]
pub struct Call<T> {
    options: CallOptions,
    make: Box<dyn FnOnce(CallOptions) -> CallFuture<T> + Send>,
}

/// What a call may be given besides its request.
pub(crate) struct CallOptions {
    timeout: Option<Duration>,
    /// An error is what the call fails with instead of being made.
    metadata: Result<MetadataMap, Error>,
}

impl<T> Call<T> {
    /// A call that `make` makes.
    pub(crate) fn new(timeout: Option<Duration>, make: impl FnOnce(CallOptions) -> CallFuture<T> + Send + 'static) -> Self {
        Self { options: CallOptions { timeout, metadata: Ok(MetadataMap::new()) }, make: Box::new(make) }
    }

    /// Sets the time until the call's deadline, tries and waits included; the server keeps it too. Of a stream it is the time
    /// until its end.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = Some(timeout);
        self
    }

    /// Sends W3C trace context to continue, such as `00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01`.
    pub fn traceparent(self, value: &str) -> Self {
        self.metadata("traceparent", value)
    }

    /// Sends metadata: a header with a value of printable ASCII. With another name or value the call fails with
    /// `INVALID_ARGUMENT`.
    pub fn metadata(mut self, name: &str, value: &str) -> Self {
        if let Ok(metadata) = &mut self.options.metadata {
            match (AsciiMetadataKey::from_bytes(name.as_bytes()), value.parse()) {
                (Ok(key), Ok(value)) => {
                    metadata.insert(key, value);
                }
                _ => {
                    let message = format!("the metadata {name:?} has a name or value that headers must not have");
                    self.options.metadata = Err(Status::invalid_argument(message).into());
                }
            }
        }
        self
    }

    /// The call whose answer is a part of this one's.
    pub(crate) fn map<U>(self, part: impl FnOnce(T) -> Result<U, Error> + Send + 'static) -> Call<U>
    where
        T: 'static,
    {
        let make = self.make;
        Call { options: self.options, make: Box::new(|options| Box::pin(async { part(make(options).await?) })) }
    }
}

impl<T> IntoFuture for Call<T> {
    type Output = Result<T, Error>;
    type IntoFuture = CallFuture<T>;

    fn into_future(self) -> Self::IntoFuture {
        (self.make)(self.options)
    }
}

impl<T> fmt::Debug for Call<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("timeout", &self.options.timeout).finish_non_exhaustive()
    }
}

impl CallOptions {
    /// Makes a call of one message, as often as the policy says. `send` is one try; what it gives is returned with the
    /// limits that hold for it.
    pub(crate) async fn run<M, R, F>(
        self,
        policy: RetryPolicy,
        message: M,
        send: impl Fn(Request<M>) -> F,
    ) -> Result<(R, Limits), Error>
    where
        M: Clone,
        F: Future<Output = Result<R, Status>>,
    {
        let limits = Limits::new(self.timeout);
        let metadata = self.metadata?;
        let answer = retry::run(&policy, &limits, |previous| {
            let mut request = Request::new(message.clone());
            *request.metadata_mut() = metadata.clone();
            if previous > 0 {
                request.metadata_mut().insert("grpc-previous-rpc-attempts", previous.into()); // as gRPC's own clients say
            }
            if let Some(left) = limits.left() {
                request.set_timeout(left);
            }
            send(request)
        })
        .await?;
        Ok((answer, limits))
    }
}

/// The message of an answer.
pub(crate) fn message<T>(response: Response<T>) -> T {
    response.into_inner()
}
