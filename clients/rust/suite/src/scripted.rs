//! The wrapper against a scripted server, for what the real one does not do on demand.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt, stream};
use opentelemetry::trace::FutureExt;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use sluice_client::v1::{
    Delta, GenerateRequest, GenerateResponse, GenerateStreamResponse, LoadModelRequest, Output, Started, Summary,
};
use sluice_client::{Client, ClientBuilder, Code, Event, RetryPolicy};
use tokio::time::{sleep, timeout};
use tonic::codegen::{Service, http};
use tonic::metadata::MetadataMap;
use tonic::server::NamedService;
use tonic::{Request, Response, Status, body::Body};
use tonic_prost::ProstCodec;
use tonic_types::{ErrorDetails, StatusExt};

use crate::secure::parent;

type Events = Vec<Result<GenerateStreamResponse, Status>>;
type EventStream = Pin<Box<dyn futures::Stream<Item = Result<GenerateStreamResponse, Status>> + Send>>;

/// `InferenceService` of a script: each call takes the next answer, and the last one stays.
#[derive(Clone, Default)]
struct Script {
    answers: Arc<Mutex<VecDeque<Result<Events, Status>>>>,
    calls: Arc<Mutex<Vec<MetadataMap>>>,
    streams: Arc<AtomicUsize>,
}

impl Script {
    fn next(&self, metadata: &MetadataMap) -> Result<Events, Status> {
        self.calls.lock().unwrap().push(metadata.clone());
        let mut answers = self.answers.lock().unwrap();
        if answers.len() > 1 { answers.pop_front().unwrap() } else { answers[0].clone() }
    }

    fn calls(&self) -> usize {
        self.calls.lock().unwrap().len()
    }

    /// Number of streams that are not through, nor given up.
    fn streams(&self) -> usize {
        self.streams.load(Ordering::SeqCst)
    }
}

/// Counts a stream for as long as it is held.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(streams: &Arc<AtomicUsize>) -> Self {
        streams.fetch_add(1, Ordering::SeqCst);
        Self(streams.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl NamedService for Script {
    const NAME: &'static str = "sluice.v1.InferenceService";
}

struct Unary(Script);

impl tonic::server::UnaryService<GenerateRequest> for Unary {
    type Response = GenerateResponse;
    type Future = Ready<Result<Response<GenerateResponse>, Status>>;

    fn call(&mut self, request: Request<GenerateRequest>) -> Self::Future {
        let outputs = vec![Output { text: "ok".into(), ..Output::default() }];
        ready(self.0.next(request.metadata()).map(|_| Response::new(GenerateResponse { outputs, ..Default::default() })))
    }
}

struct Streaming(Script);

impl tonic::server::ServerStreamingService<GenerateRequest> for Streaming {
    type Response = GenerateStreamResponse;
    type ResponseStream = EventStream;
    type Future = Ready<Result<Response<EventStream>, Status>>;

    fn call(&mut self, request: Request<GenerateRequest>) -> Self::Future {
        ready(self.0.next(request.metadata()).map(|events| {
            // An answer without an end, unless the script has one.
            let hangs =
                events.last().is_some_and(|last| matches!(last, Ok(GenerateStreamResponse { event: Some(Event::Delta(_)) })));
            let events = stream::iter(events);
            let all: EventStream = if hangs { events.chain(stream::pending()).boxed() } else { events.boxed() };
            let counted = Counted::new(&self.0.streams);
            Response::new(all.inspect(move |_| _ = &counted).boxed())
        }))
    }
}

impl Service<http::Request<Body>> for Script {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let script = self.clone();
        Box::pin(async move {
            let streams = request.uri().path().ends_with("/GenerateStream");
            Ok(if streams {
                tonic::server::Grpc::new(ProstCodec::default()).server_streaming(Streaming(script), request).await
            } else {
                tonic::server::Grpc::new(ProstCodec::default()).unary(Unary(script), request).await
            })
        })
    }
}

/// `ModelService` of a script that refuses every call.
#[derive(Clone)]
struct Models(Script);

impl NamedService for Models {
    const NAME: &'static str = "sluice.v1.ModelService";
}

impl Service<http::Request<Body>> for Models {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        self.0.call(request)
    }
}

/// Serves a script until the test ends, and makes a client of it.
async fn scripted(builder: ClientBuilder, answers: impl IntoIterator<Item = Result<Events, Status>>) -> (Client, Script) {
    let script = Script { answers: Arc::new(Mutex::new(answers.into_iter().collect())), ..Script::default() };
    let incoming = tonic::transport::server::TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let addr = incoming.local_addr().unwrap();
    tokio::spawn(
        tonic::transport::Server::builder()
            .add_service(script.clone())
            .add_service(Models(script.clone()))
            .serve_with_incoming(incoming),
    );
    (builder.build(&addr.to_string()).unwrap(), script)
}

fn event(event: Event) -> Result<GenerateStreamResponse, Status> {
    Ok(GenerateStreamResponse { event: Some(event) })
}

fn started() -> Result<GenerateStreamResponse, Status> {
    event(Event::Started(Started { id: "1".into(), model: "m".into() }))
}

fn delta(text: &str) -> Result<GenerateStreamResponse, Status> {
    event(Event::Delta(Delta { text: text.into(), ..Delta::default() }))
}

fn summary() -> Result<GenerateStreamResponse, Status> {
    event(Event::Summary(Summary::default()))
}

fn answer() -> Result<Events, Status> {
    Ok(vec![started(), delta("o"), delta("k"), summary()])
}

fn unavailable() -> Result<Events, Status> {
    Err(Status::unavailable("drains"))
}

fn full(pushback: &str) -> Result<Events, Status> {
    let details = ErrorDetails::with_retry_info(Some(Duration::from_millis(20)));
    let mut metadata = MetadataMap::new();
    metadata.insert("grpc-retry-pushback-ms", pushback.parse().unwrap());
    Err(Status::with_error_details_and_metadata(Code::ResourceExhausted, "full", details, metadata))
}

/// A builder of clients that do not wait long.
fn fast() -> ClientBuilder {
    Client::builder().retry(RetryPolicy { initial_backoff: Duration::from_millis(1), ..RetryPolicy::default() })
}

#[tokio::test]
async fn what_is_unavailable_is_tried_again() {
    let (client, script) = scripted(fast(), [unavailable(), unavailable(), answer()]).await;
    assert_eq!(client.generate("x").await.unwrap().text(), "ok");
    assert_eq!(script.calls(), 3);
    let (client, script) = scripted(fast(), [unavailable(), Ok(vec![Err(Status::unavailable("drains"))]), answer()]).await;
    assert_eq!(client.stream("x").await.unwrap().read().await.unwrap(), "ok");
    assert_eq!(script.calls(), 3);
}

#[tokio::test]
async fn as_often_as_the_policy_says() {
    let two = RetryPolicy { max_attempts: 2, initial_backoff: Duration::from_millis(1), ..RetryPolicy::default() };
    for (builder, want) in [(fast(), 4), (fast().retry(two), 2), (fast().retry(RetryPolicy::never()), 1)] {
        let (client, script) = scripted(builder, [unavailable()]).await;
        assert_eq!(client.generate("x").await.unwrap_err().code(), Code::Unavailable);
        assert_eq!(script.calls(), want);
    }
}

#[tokio::test]
async fn what_is_full_is_left_to_the_caller() {
    let (client, script) = scripted(fast(), [full("20"), answer()]).await;
    let error = client.generate("x").await.unwrap_err();
    assert_eq!((error.code(), error.retry_after()), (Code::ResourceExhausted, Some(Duration::from_millis(20))));
    assert_eq!(script.calls(), 1);
}

#[tokio::test]
async fn the_server_says_when() {
    let hour = Duration::from_secs(3600);
    let codes = vec![Code::ResourceExhausted];
    let policy =
        RetryPolicy { initial_backoff: hour, max_backoff: hour, retryable_status_codes: codes, ..RetryPolicy::default() };
    let builder = || Client::builder().retry(policy.clone());
    let (client, script) = scripted(builder(), [full("20"), answer()]).await;
    let start = Instant::now();
    client.generate("x").await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(20));
    let tries =
        script.calls.lock().unwrap().iter().map(|call| call.get("grpc-previous-rpc-attempts").cloned()).collect::<Vec<_>>();
    assert_eq!(tries, [None, Some("1".parse().unwrap())]);
    for never in ["-1", "soon", "3600000"] {
        let (client, script) = scripted(builder().timeout(Duration::from_secs(60)), [full(never)]).await;
        assert_eq!(client.generate("x").await.unwrap_err().code(), Code::ResourceExhausted);
        assert_eq!(script.calls(), 1, "{never}");
    }
}

#[tokio::test]
async fn nothing_else_is_tried_again() {
    for code in [Code::InvalidArgument, Code::Internal, Code::Aborted, Code::Unauthenticated, Code::Cancelled] {
        let (client, script) = scripted(fast(), [Err(Status::new(code, "no"))]).await;
        let error = client.generate("x").await.unwrap_err();
        assert_eq!((error.code(), error.message(), script.calls()), (code, "no", 1));
    }
    // It may have been done.
    let (client, script) = scripted(fast(), [unavailable()]).await;
    assert_eq!(client.load_model(LoadModelRequest::default()).await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(client.unload_model("x").await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(script.calls(), 2);
}

#[tokio::test]
async fn no_wait_goes_beyond_the_deadline() {
    let slow =
        RetryPolicy { initial_backoff: Duration::from_secs(60), max_backoff: Duration::from_secs(60), ..Default::default() };
    let (client, script) = scripted(Client::builder().retry(slow).timeout(Duration::from_secs(5)), [unavailable()]).await;
    assert_eq!(client.generate("x").await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(script.calls(), 1);
    assert_eq!(client.generate("x").timeout(Duration::ZERO).await.unwrap_err().code(), Code::DeadlineExceeded);
    assert_eq!(script.calls(), 1);
}

#[tokio::test]
async fn what_has_begun_is_not_tried_again() {
    let (client, script) = scripted(fast(), [Ok(vec![started(), delta("half"), Err(Status::unavailable("drains"))])]).await;
    let mut stream = client.stream("x").await.unwrap();
    let mut text = stream.text();
    assert_eq!(text.try_next().await.unwrap().unwrap(), "half");
    assert_eq!(text.try_next().await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(text.try_next().await.unwrap(), None);
    assert_eq!(script.calls(), 1);
}

#[tokio::test]
async fn events_of_a_newer_server_and_none_at_the_end() {
    let unknown = Ok(GenerateStreamResponse { event: None });
    let (client, _) = scripted(fast(), [Ok(vec![started(), unknown, delta("a"), summary()]), Ok(vec![started()])]).await;
    let mut stream = client.stream("x").await.unwrap();
    assert_eq!((stream.id(), stream.model(), stream.usage()), ("1", "m", None));
    assert_eq!(stream.events().try_collect::<Vec<_>>().await.unwrap().len(), 3);
    assert!(stream.usage().is_some() && stream.timings().is_some());
    let error = client.stream("x").await.unwrap().read().await.unwrap_err();
    assert_eq!(error.to_string(), "Internal: the stream ended without its summary");
}

#[tokio::test]
async fn a_server_that_hangs() {
    // This server ignores deadlines.
    let (client, _) = scripted(fast(), [Ok(vec![started(), delta("a")])]).await;
    let mut stream = client.stream("x").timeout(Duration::from_millis(200)).await.unwrap();
    assert_eq!(stream.try_next().await.unwrap().unwrap().text, "a");
    assert_eq!(stream.try_next().await.unwrap_err().code(), Code::DeadlineExceeded);
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn cancelling_needs_no_further_read() {
    let (client, script) = scripted(fast(), [Ok(vec![started(), delta("a")])]).await;
    let mut stream = client.stream("x").await.unwrap();
    assert_eq!(stream.try_next().await.unwrap().unwrap().text, "a");
    assert_eq!(script.streams(), 1);
    stream.cancel();
    let left = async {
        while script.streams() > 0 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(60), left).await.expect("the server still works for a stream that is cancelled");
    assert!(stream.finished().is_empty() && stream.usage().is_none());
    stream.cancel();
    assert_eq!(stream.try_next().await.unwrap_err().code(), Code::Cancelled);
    stream.cancel();
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn the_trace_of_a_call_wins() {
    opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
    let current = "0af7651916cd43dd8448eb211c80319c";
    let (client, script) = scripted(fast().opentelemetry(), [answer()]).await;
    client.generate("x").into_future().with_context(parent(current)).await.unwrap();
    client.generate("x").traceparent("00-a-b-01").into_future().with_context(parent(current)).await.unwrap();
    let sent = script.calls.lock().unwrap().iter().map(|call| call.get("traceparent").unwrap().clone()).collect::<Vec<_>>();
    assert_eq!(sent, [format!("00-{current}-b7ad6b7169203331-01").as_str(), "00-a-b-01"]);
}

#[tokio::test]
async fn metadata_and_deadlines_reach_the_server() {
    let builder = fast().api_key("secret").timeout(Duration::from_secs(30)).metadata_with(|metadata| {
        metadata.insert("x-mine", "2".parse().unwrap());
    });
    let (client, script) = scripted(builder, [answer()]).await;
    client.generate("x").traceparent("00-a-b-01").metadata("x-more", "1").await.unwrap();
    client.stream("x").timeout(Duration::from_secs(3)).await.unwrap();
    let calls = script.calls.lock().unwrap().clone();
    let header = |name: &str| calls[0].get(name).and_then(|value| value.to_str().ok());
    assert_eq!(header("authorization"), Some("Bearer secret"));
    assert_eq!((header("traceparent"), header("x-more"), header("x-mine")), (Some("00-a-b-01"), Some("1"), Some("2")));
    let micros =
        |i: usize| calls[i].get("grpc-timeout").unwrap().to_str().unwrap().trim_end_matches('u').parse::<u32>().unwrap();
    assert!((1..=30_000_000).contains(&micros(0)) && (1..=3_000_000).contains(&micros(1)));

    for (name, value) in [("x y", "1"), ("x-a", "1\n"), ("schlüssel", "1"), ("a-bin", "1")] {
        let error = client.generate("x").metadata(name, value).await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument, "{name}: {value:?}");
    }
    assert_eq!(script.calls(), 2);
}

#[tokio::test]
async fn nobody_there() {
    let client = fast().build("127.0.0.1:1").unwrap();
    assert_eq!(client.models().await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(client.stream("x").await.unwrap_err().code(), Code::Unavailable);
}
