//! The client against the real server.

use std::process::Command;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, future::join_all};
use sluice_client::v1::{
    Choice, ExplainRequest, Finished, LoadModelRequest, ModelState, ScoreRequest, TokenizeRequest, constraint,
};
use sluice_client::{
    Chat, Client, Code, Delta, Error, Event, FinishReason, GenerateRequest, Message, OutputOptions, RetryPolicy, Sampling,
    Tokens,
};

use crate::servers::{Server, root, until_busy};

const CAPITAL: &str = "The capital of France is";
const MODEL: &str = "smollm2-135m-instruct";

/// What takes its time.
fn endless() -> GenerateRequest {
    let sampling = Sampling { max_tokens: Some(2000), ignore_eos: Some(true), ..Sampling::default() };
    GenerateRequest::new(CAPITAL).with_sampling(sampling)
}

fn greedy(max_tokens: u32) -> GenerateRequest {
    GenerateRequest::new(CAPITAL).with_max_tokens(max_tokens).with_temperature(0.0)
}

fn fields(error: &Error) -> Vec<&str> {
    let mut fields: Vec<_> = error.field_violations().iter().map(|violation| &*violation.field).collect();
    fields.sort_unstable();
    assert!(error.field_violations().iter().all(|violation| !violation.description.is_empty()));
    fields
}

/// One server for all tests of this file, which run one after the other for they look at what it does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_real_server() {
    let server = Server::start(&[]);
    let client = Client::new(&server.addr).unwrap();
    whole_answers(&client).await;
    streams(&client).await;
    events(&client).await;
    several_outputs(&client).await;
    inputs(&client).await;
    scores_and_models(&client).await;
    cancelling(&client).await;
    deadlines(&client).await;
    refusals(&client).await;
    big_prompts(&client).await;
    parallel_streams(&client).await;
    quickstart(&server.addr);
    server.stop();
}

async fn whole_answers(client: &Client) {
    let request = greedy(12).with_output(OutputOptions { token_ids: true, ..OutputOptions::default() });
    let answer = client.generate(request).await.unwrap();
    assert!(answer.text().contains("Paris"), "{}", answer.text());
    assert_eq!(answer.model, MODEL);
    assert!(!answer.id.is_empty());
    assert_eq!(answer.usage().prompt_tokens, client.count_tokens(CAPITAL).await.unwrap().count);
    assert_eq!(answer.usage().completion_tokens as usize, answer.outputs[0].token_ids.len());
    assert!(answer.timings().time_to_first_token.unwrap().nanos > 0);

    let answer = client.generate(greedy(40).with_stop(["Paris"])).await.unwrap();
    assert_eq!(answer.outputs[0].finish_reason(), FinishReason::StopSequence);
    assert_eq!(answer.outputs[0].stop_sequence, "Paris");
    assert!(!answer.text().contains("Paris"));

    let choice = constraint::Kind::Choice(Choice { choices: vec!["Aare".into(), "Rhine".into()] });
    let answer = client.generate(GenerateRequest::new([Message::user("A river?")]).with_constraint(choice)).await.unwrap();
    assert!(["Aare", "Rhine"].contains(&answer.text()));
}

async fn streams(client: &Client) {
    for prompt in [CAPITAL, "Translate to Chinese: 你好，世界。", "Repeat these emoji: 😀🎉👩‍👩‍👧‍👦🇨🇭 😀🎉👩‍👩‍👧‍👦🇨🇭 😀"]
    {
        let sampling = Sampling { max_tokens: Some(48), temperature: Some(0.0), ignore_eos: Some(true), ..Sampling::default() };
        let request = GenerateRequest::new(prompt).with_sampling(sampling);
        let whole = client.generate(request.clone()).await.unwrap();
        let mut stream = client.stream(request).await.unwrap();
        assert_eq!(stream.model(), MODEL);
        assert!(!stream.id().is_empty());
        let texts: Vec<_> = stream.text().try_collect().await.unwrap();
        assert_eq!(texts.concat(), whole.text());
        assert!(texts.len() > 1);
        assert_eq!(stream.finished().iter().map(Finished::finish_reason).collect::<Vec<_>>(), [FinishReason::Length]);
        assert_eq!(stream.usage().unwrap().completion_tokens, 48);
        assert!(stream.timings().unwrap().decode.is_some());
    }
}

async fn events(client: &Client) {
    let output = OutputOptions { prompt_logprobs: Some(0), logprobs: Some(2), ..OutputOptions::default() };
    let mut stream = client.stream(greedy(3).with_output(output)).await.unwrap();
    let mut kinds: Vec<_> = stream
        .events()
        .map_ok(|event| match event {
            Event::Started(_) => "started",
            Event::Prompt(_) => "prompt",
            Event::Delta(_) => "delta",
            Event::Finished(_) => "finished",
            Event::Summary(_) => "summary",
        })
        .try_collect()
        .await
        .unwrap();
    kinds.dedup();
    assert_eq!(kinds, ["started", "prompt", "delta", "finished", "summary"]);
    let bytes: Vec<_> = stream.prompt_logprobs().iter().flat_map(|entry| entry.chosen.clone().unwrap().token).collect();
    assert_eq!(String::from_utf8(bytes).unwrap(), CAPITAL);
}

async fn several_outputs(client: &Client) {
    let sampling = Sampling { max_tokens: Some(8), temperature: Some(1.0), seed: Some(3), n: Some(3), ..Sampling::default() };
    let request = GenerateRequest::new(CAPITAL).with_sampling(sampling);
    let answer = client.generate(request.clone()).await.unwrap();
    let deltas: Vec<Delta> = client.stream(request).await.unwrap().try_collect().await.unwrap();
    assert_eq!(answer.outputs.iter().map(|output| output.seed).collect::<Vec<_>>(), [3, 4, 5]);
    for output in answer.outputs {
        let mine: String = deltas.iter().filter(|delta| delta.index == output.index).map(|delta| &*delta.text).collect();
        assert_eq!(mine, output.text);
    }
}

async fn inputs(client: &Client) {
    let request = GenerateRequest::new([Message::system("Be brief."), Message::user("Hello")]).with_max_tokens(16).with_seed(7);
    let whole = client.generate(request.clone()).await.unwrap();
    assert_eq!(client.stream(request).await.unwrap().read().await.unwrap(), whole.text());
    assert_eq!(whole.outputs[0].seed, 7);
    let plain = client.count_tokens("Hello").await.unwrap().count;
    assert!(client.count_tokens(Chat::new([Message::user("Hello")])).await.unwrap().count > plain);

    let text = "你好 👩‍👩‍👧‍👦!";
    let request = TokenizeRequest { add_special_tokens: Some(false), ..TokenizeRequest::from(text) };
    let tokens = client.tokenize(request).await.unwrap();
    let bytes = tokens.iter().flat_map(|token| token.bytes.clone()).collect();
    assert_eq!(String::from_utf8(bytes).unwrap(), text);
    let ids: Vec<_> = tokens.iter().map(|token| token.id).collect();
    assert_eq!(client.detokenize(ids.clone()).await.unwrap(), text);
    let request = GenerateRequest::new(Tokens::from(ids.clone())).with_max_tokens(1);
    assert_eq!(client.generate(request).await.unwrap().usage().prompt_tokens as usize, ids.len());
}

async fn scores_and_models(client: &Client) {
    let scores = client.score(ScoreRequest::new(CAPITAL, [" Paris", " banana"])).await.unwrap().scores;
    assert!(scores[0].log_likelihood > scores[1].log_likelihood);
    let request = ExplainRequest::new("It rains. The capital of France is", " Paris");
    let parts = client.explain(request).await.unwrap().attributions;
    assert!(parts.len() == 2 && parts[1].effect > parts[0].effect);
    let vectors = client.embed(["a river", "a stream", "tax law"]).await.unwrap().embeddings;
    let dot = |i: usize, j: usize| vectors[i].values.iter().zip(&vectors[j].values).map(|(a, b)| a * b).sum::<f32>();
    assert!((dot(0, 0) - 1.0).abs() < 1e-3 && dot(0, 1) > dot(0, 2));

    let models = client.models().await.unwrap();
    assert_eq!((&*models[0].name, models[0].state()), (MODEL, ModelState::Ready));
    assert_eq!(client.model("").await.unwrap().name, MODEL);
}

async fn cancelling(client: &Client) {
    // By dropping a stream.
    let mut stream = client.stream(endless()).await.unwrap();
    stream.try_next().await.unwrap().unwrap();
    until_busy(client, 1).await;
    drop(stream);
    until_busy(client, 0).await;

    // By dropping the future of a call.
    let call = tokio::spawn(client.generate(endless()).into_future());
    until_busy(client, 1).await;
    call.abort();
    until_busy(client, 0).await;

    // By its method.
    let mut stream = client.stream(endless()).await.unwrap();
    stream.try_next().await.unwrap().unwrap();
    stream.cancel();
    assert_eq!(stream.try_next().await.unwrap_err().code(), Code::Cancelled);
    assert!(stream.next().await.is_none() && stream.usage().is_none());
    until_busy(client, 0).await;

    // By its method, with nothing read afterwards.
    let mut stream = client.stream(endless()).await.unwrap();
    stream.try_next().await.unwrap().unwrap();
    stream.cancel();
    until_busy(client, 0).await;
    assert!(stream.finished().is_empty());

    // One that has ended.
    let mut stream = client.stream(greedy(1)).await.unwrap();
    stream.read().await.unwrap();
    stream.cancel();
    assert!(stream.next().await.is_none());
}

async fn deadlines(client: &Client) {
    let soon = Duration::from_millis(300);
    let error = client.generate(endless()).timeout(soon).await.unwrap_err();
    assert_eq!(error.code(), Code::DeadlineExceeded, "{error}");
    let stopped = match client.stream(endless()).timeout(soon).await {
        Ok(mut stream) => stream.read().await.unwrap_err(),
        Err(refused) => refused, // by the speed that was measured
    };
    assert_eq!(stopped.code(), Code::DeadlineExceeded, "{stopped}");
    until_busy(client, 0).await;
}

async fn refusals(client: &Client) {
    let sampling = Sampling { top_p: Some(1.5), temperature: Some(f32::NAN), min_p: Some(-0.1), ..Sampling::default() };
    let error = client.generate(GenerateRequest::new("x").with_sampling(sampling)).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    assert_eq!(fields(&error), ["sampling.min_p", "sampling.temperature", "sampling.top_p"]);
    assert_eq!(fields(&client.stream("").await.unwrap_err()), ["prompt"]);

    let error = client.stream(GenerateRequest::new("x").with_model("gpt-9")).await.unwrap_err();
    assert_eq!((error.code(), error.resource()), (Code::NotFound, Some("gpt-9")));
    let error = client.load_model(LoadModelRequest { name: "x".into(), ..Default::default() }).await.unwrap_err();
    assert_eq!((error.code(), error.reason()), (Code::PermissionDenied, Some("ADMIN_ONLY")));
    assert_eq!(client.unload_model("x").await.unwrap_err().reason(), Some("ADMIN_ONLY"));
}

async fn big_prompts(client: &Client) {
    let prompt = "All work and no play makes Jack a dull boy. ".repeat(100);
    let answer = client.generate(GenerateRequest::new(&*prompt).with_max_tokens(1)).await.unwrap();
    assert!(answer.usage().prompt_tokens > 1000);
    assert_eq!(fields(&client.generate("x".repeat(10 << 20)).await.unwrap_err()), ["prompt"]);
    // Over the limit of messages.
    let error = client.stream("x".repeat(17 << 20)).await.unwrap_err();
    assert_eq!(error.code(), Code::ResourceExhausted, "{error}");
}

async fn parallel_streams(client: &Client) {
    let text = client.generate(greedy(8)).await.unwrap().text().to_owned();
    let read = |_| async { client.stream(greedy(8)).await.unwrap().read().await.unwrap() };
    assert_eq!(join_all((0..100).map(read)).await, vec![text; 100]);
    until_busy(client, 0).await;
}

/// Runs the README's first example.
fn quickstart(addr: &str) {
    let folder = root().join("clients/rust");
    let readme = std::fs::read_to_string(folder.join("README.md")).unwrap();
    let source = std::fs::read_to_string(folder.join("examples/quickstart.rs")).unwrap();
    let example = readme.split("```rust,no_run\n").nth(1).unwrap().split("```").next().unwrap();
    let (_, code) = source.split_once("\n\n").unwrap();
    let argument = r#"&std::env::args().nth(1).expect("usage: quickstart HOST:PORT")"#;
    assert_eq!(example, code.replace(argument, "\"127.0.0.1:50051\""), "examples/quickstart.rs is not the README's example");

    // Cargo has built it beside the tests.
    let program = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("examples/quickstart");
    let output = Command::new(program).arg(addr).output().expect("the example is not built: run all tests, not one target's");
    let said = String::from_utf8(output.stdout).unwrap();
    let (answer, count) = said.trim_end().rsplit_once('\n').expect(&said);
    assert!(output.status.success() && !answer.trim().is_empty() && count.ends_with(" tokens"), "{said}");
}

/// A server that dies, and one that is there again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dies() {
    let server = Server::start(&[]);
    let addr = server.addr.clone();
    let client = Client::builder().retry(RetryPolicy::never()).build(&addr).unwrap();
    let mut stream = client.stream(endless()).await.unwrap();
    stream.try_next().await.unwrap().unwrap();
    let call = tokio::spawn(client.generate(endless()).into_future());
    until_busy(&client, 2).await;
    server.kill();
    assert_eq!(stream.read().await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(call.await.unwrap().unwrap_err().code(), Code::Unavailable);
    assert_eq!(client.models().await.unwrap_err().code(), Code::Unavailable);
    let server = Server::start_at(&addr, &[]);
    client.models().await.unwrap();
    server.stop();
}
