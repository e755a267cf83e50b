//! An answer as it comes.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use tokio::time::{Sleep, sleep_until};
use tonic::{Status, Streaming};

use crate::Error;
use crate::limits::{Limits, deadline_passed};
use crate::v1::generate_stream_response::Event;
use crate::v1::{Delta, Finished, GenerateStreamResponse, Timings, TokenLogprobs, Usage};

/// An answer as it comes: a [`Stream`] of the deltas of all outputs. The deltas of one output concatenate to exactly the text
/// that [`Client::generate`](crate::Client::generate) gives, and none splits a character. An error ends the stream.
///
/// Dropping it cancels the request: the server stops the work at its next step. To leave the loop and keep the stream for
/// what it has noted, [`cancel`](Self::cancel) it.
pub struct GenerateStream {
    /// None once the stream has ended or is cancelled.
    responses: Option<Streaming<GenerateStreamResponse>>,
    /// The response that came with the admission.
    first: Option<GenerateStreamResponse>,
    limits: Limits,
    deadline: Option<Pin<Box<Sleep>>>,
    /// The error of [`cancel`](Self::cancel) is still to be read.
    cancelled: bool,

    id: String,
    model: String,
    prompt_logprobs: Vec<TokenLogprobs>,
    finished: Vec<Finished>,
    summary: Option<(Usage, Timings)>,
}

impl GenerateStream {
    /// A stream whose first response has come, unless it ended without one.
    pub(crate) fn new(
        responses: Streaming<GenerateStreamResponse>,
        first: Option<GenerateStreamResponse>,
        limits: Limits,
    ) -> Self {
        let mut stream = Self {
            responses: Some(responses),
            first,
            limits,
            deadline: limits.deadline.map(|deadline| Box::pin(sleep_until(deadline))),
            cancelled: false,
            id: String::new(),
            model: String::new(),
            prompt_logprobs: Vec::new(),
            finished: Vec::new(),
            summary: None,
        };
        if let Some(GenerateStreamResponse { event: Some(Event::Started(started)) }) = &stream.first {
            (stream.id, stream.model) = (started.id.clone(), started.model.clone());
        }
        stream
    }

    /// The request's id: the caller's `request_id` or one that the server made.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Name of the model that answers, never an alias.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// What the model thought of each token of the prompt, if `output.prompt_logprobs` was set: complete from the first delta
    /// on.
    pub fn prompt_logprobs(&self) -> &[TokenLogprobs] {
        &self.prompt_logprobs
    }

    /// Why each output ended, in the order of their ends.
    pub fn finished(&self) -> &[Finished] {
        &self.finished
    }

    /// Tokens counted. None until the end of the stream.
    pub fn usage(&self) -> Option<Usage> {
        self.summary.as_ref().map(|summary| summary.0)
    }

    /// Where the time went, measured in the server. None until the end of the stream.
    pub fn timings(&self) -> Option<Timings> {
        self.summary.as_ref().map(|summary| summary.1)
    }

    /// All events as the server sends them, but those that this version of the package does not know.
    pub fn events(&mut self) -> Events<'_> {
        Events(self)
    }

    /// The texts of the first output, none of them empty.
    pub fn text(&mut self) -> Text<'_> {
        Text(self)
    }

    /// Reads the stream to its end and returns the joined text of the first output.
    ///
    /// # Errors
    ///
    /// What ended the stream, with what had come until then lost.
    pub async fn read(&mut self) -> Result<String, Error> {
        let mut joined = String::new();
        let mut text = self.text();
        while let Some(next) = std::future::poll_fn(|cx| Pin::new(&mut text).poll_next(cx)).await {
            joined += &next?;
        }
        Ok(joined)
    }

    /// Cancels the request, at once: nothing need be read for it. What is read next is an error with the code `CANCELLED`. It
    /// does nothing once the stream has ended. From elsewhere, cancel by dropping the stream or the future that reads it.
    pub fn cancel(&mut self) {
        // Dropping what holds the call is what tells the server.
        self.cancelled |= self.responses.take().is_some();
    }

    /// The next known event.
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Event, Error>>> {
        if std::mem::take(&mut self.cancelled) {
            return Poll::Ready(Some(Err(Status::cancelled("the call was cancelled").into())));
        }
        loop {
            let Some(responses) = &mut self.responses else { return Poll::Ready(None) };
            let response = match self.first.take() {
                Some(response) => response,
                None => match Pin::new(responses).poll_next(cx) {
                    Poll::Ready(Some(Ok(response))) => response,
                    Poll::Ready(Some(Err(status))) => {
                        let error = self.limits.error_of(status);
                        return self.fail(error);
                    }
                    Poll::Ready(None) if self.summary.is_none() => {
                        return self.fail(Status::internal("the stream ended without its summary").into());
                    }
                    Poll::Ready(None) => {
                        self.responses = None;
                        return Poll::Ready(None);
                    }
                    Poll::Pending => {
                        let Some(deadline) = &mut self.deadline else { return Poll::Pending };
                        ready!(deadline.as_mut().poll(cx));
                        return self.fail(deadline_passed());
                    }
                },
            };
            if let Some(event) = response.event {
                self.note(&event);
                return Poll::Ready(Some(Ok(event)));
            }
        }
    }

    /// Ends the stream with an error. What it holds of the call is dropped, which cancels it.
    fn fail(&mut self, error: Error) -> Poll<Option<Result<Event, Error>>> {
        self.responses = None;
        Poll::Ready(Some(Err(error)))
    }

    /// Keeps what the methods return.
    fn note(&mut self, event: &Event) {
        match event {
            Event::Started(started) => (self.id, self.model) = (started.id.clone(), started.model.clone()),
            Event::Prompt(part) => self.prompt_logprobs.extend_from_slice(&part.logprobs),
            Event::Finished(finished) => self.finished.push(finished.clone()),
            Event::Summary(summary) => {
                self.summary = Some((summary.usage.unwrap_or_default(), summary.timings.unwrap_or_default()));
            }
            Event::Delta(_) => {}
        }
    }
}

impl Stream for GenerateStream {
    type Item = Result<Delta, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match ready!(self.poll_event(cx)) {
                Some(Ok(Event::Delta(delta))) => return Poll::Ready(Some(Ok(delta))),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }
}

impl fmt::Debug for GenerateStream {
    /// Shows nothing of what is generated.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GenerateStream").field("id", &self.id).field("model", &self.model).finish_non_exhaustive()
    }
}

/// The events of a stream: what [`GenerateStream::events`] gives.
#[derive(Debug)]
pub struct Events<'a>(&'a mut GenerateStream);

impl Stream for Events<'_> {
    type Item = Result<Event, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_event(cx)
    }
}

/// The texts of a stream's first output: what [`GenerateStream::text`] gives.
#[derive(Debug)]
pub struct Text<'a>(&'a mut GenerateStream);

impl Stream for Text<'_> {
    type Item = Result<String, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match ready!(Pin::new(&mut *self.0).poll_next(cx)) {
                Some(Ok(delta)) if delta.index == 0 && !delta.text.is_empty() => return Poll::Ready(Some(Ok(delta.text))),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }
}
