//! The cases of clients/conformance, as its README says.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use futures::{TryStreamExt, future::join_all};
use prost_reflect::{DescriptorPool, DynamicMessage, prost::Message as _};
use serde::Deserialize;
use sluice_client::v1::generate_request::Input;
use sluice_client::v1::{CountTokensRequest, DetokenizeRequest, EmbedRequest, TokenizeRequest};
use sluice_client::{Call, Certificate, Client, ClientTlsConfig, Delta, Error, GenerateRequest, Identity, RetryPolicy};
use tokio::time::timeout;

use crate::expect::{Answer, Expectation};
use crate::servers::{root, until_busy};

/// How long a case may take; only a call that hangs takes so long.
const TIMEOUT: Duration = Duration::from_secs(120);

/// How long the servers may take to stop before they are killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(120);

/// An entry of cases.json. A field that it does not know is an error, for what nobody checks shows nothing.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Case {
    name: String,
    #[serde(rename = "about")]
    _about: String,
    call: Kind,
    request: serde_json::Value,
    before: Option<serde_json::Value>,
    #[serde(default = "default_server")]
    server: String,
    #[serde(default = "default_key")]
    key: String,
    #[serde(default)]
    tls: Tls,
    prompt_repeat: Option<usize>,
    #[serde(default = "one")]
    parallel: usize,
    #[serde(default)]
    occupy: u32,
    cancel_after: Option<usize>,
    leave_after: Option<usize>,
    stall_after: Option<usize>,
    deadline_ms: Option<u64>,
    #[serde(default)]
    retry: bool,
    expect: Expectation,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Kind {
    Generate,
    Stream,
    Both,
    Score,
    Explain,
    Embed,
    Tokenize,
    Detokenize,
    CountTokens,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Tls {
    #[default]
    Ca,
    Certificate,
    System,
    None,
}

fn default_server() -> String {
    "default".into()
}

fn default_key() -> String {
    "valid".into()
}

fn one() -> usize {
    1
}

/// Where one server of the suite is.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct At {
    addr: String,
    ca: Option<String>,
    cert: Option<String>,
    cert_key: Option<String>,
    keys: Option<HashMap<String, String>>,
}

/// The suite's servers. They stop when their standard input ends.
struct Servers {
    process: Child,
    at: HashMap<String, At>,
}

impl Servers {
    fn start() -> Self {
        let mut process = Command::new("go")
            .args(["run", "./clients/conformance/servers"])
            .current_dir(root())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0) // which killing it takes: `go run` has them for a child
            .spawn()
            .expect("the servers need Go");
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "the servers do not start");
        Self { at: serde_json::from_str(&line).unwrap(), process }
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let late = Instant::now() + STOP_TIMEOUT;
        while matches!(self.process.try_wait(), Ok(None)) {
            if Instant::now() > late {
                eprintln!("the servers do not stop, and are killed");
                let group = format!("-{}", self.process.id());
                let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
                let _ = self.process.wait();
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cases() {
    let file = root().join("clients/conformance/cases.json");
    let cases: Vec<Case> = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    let count = cases.len();
    let servers = Servers::start();
    let mut passed = Vec::new();
    for case in cases {
        let name = case.name.clone();
        let at = servers.at.get(&case.server).unwrap_or_else(|| panic!("unknown server {:?}", case.server)).clone();
        // A task of its own: its panic fails the case alone.
        match tokio::spawn(timeout(TIMEOUT, run(case, at))).await {
            Ok(Ok(())) => passed.push(name),
            Ok(Err(_)) => eprintln!("case {name}: it hangs"),
            Err(_) => eprintln!("case {name}: it fails"),
        }
    }
    println!("{} of {count} cases passed", passed.len());
    if let Some(folder) = std::env::var_os("CONFORMANCE_RESULTS") {
        let results = serde_json::json!({"client": "Rust", "passed": passed});
        fs::write(std::path::Path::new(&folder).join("rust.json"), results.to_string()).unwrap();
    }
    assert_eq!(passed.len(), count);
}

/// Does what a case says and checks what it expects.
async fn run(case: Case, at: At) {
    let client = case.client(&at);
    if let Some(before) = &case.before {
        client.generate(message::<GenerateRequest>("GenerateRequest", before)).await.unwrap();
    }
    let mut held = Vec::new();
    for i in 0..case.occupy {
        let call = client.stream(case.generate_request());
        held.push(tokio::spawn(async move { call.await?.read().await }));
        until_busy(&client, i + 1).await;
    }
    case.call(&client).await;
    for stream in held {
        stream.abort();
        let _ = stream.await;
    }
    if case.expect.idle {
        until_busy(&client, 0).await;
    }
}

/// The message of its JSON form.
fn message<M: prost::Message + Default>(name: &str, json: &serde_json::Value) -> M {
    let files = protox::compile(["sluice/v1/inference.proto", "sluice/v1/tokenizer.proto"], [root().join("proto")]).unwrap();
    let pool = DescriptorPool::from_file_descriptor_set(files).unwrap();
    let descriptor = pool.get_message_by_name(&format!("sluice.v1.{name}")).unwrap();
    M::decode(&*DynamicMessage::deserialize(descriptor, json).unwrap().encode_to_vec()).unwrap()
}

impl Case {
    /// The client that the case calls with.
    fn client(&self, at: &At) -> Client {
        let mut builder = Client::builder();
        if !self.retry {
            builder = builder.retry(RetryPolicy::never()); // what the server says is what is looked at
        }
        let mut scheme = "http";
        if let Some(ca) = &at.ca {
            let ca = || ClientTlsConfig::new().ca_certificate(Certificate::from_pem(fs::read(ca).unwrap()));
            let read =
                |file: &Option<String>| fs::read(file.as_ref().expect("the server has no client's certificate")).unwrap();
            scheme = if matches!(self.tls, Tls::None) { "http" } else { "https" };
            builder = match self.tls {
                Tls::Ca => builder.tls(ca()),
                Tls::Certificate => builder.tls(ca().identity(Identity::from_pem(read(&at.cert), read(&at.cert_key)))),
                Tls::System | Tls::None => builder,
            };
        }
        if let Some(keys) = at.keys.as_ref().filter(|_| self.key != "none") {
            builder = builder.api_key(keys.get(&self.key).unwrap_or_else(|| panic!("unknown key {:?}", self.key)));
        }
        builder.build(&format!("{scheme}://{}", at.addr)).unwrap()
    }

    fn generate_request(&self) -> GenerateRequest {
        let mut request: GenerateRequest = message("GenerateRequest", &self.request);
        if let (Some(Input::Prompt(prompt)), Some(times)) = (&mut request.input, self.prompt_repeat) {
            *prompt = prompt.repeat(times);
        }
        request
    }

    /// Makes the case's calls.
    async fn call(&self, client: &Client) {
        match self.call {
            Kind::Generate => drop(self.attempt(|| self.generate(client)).await),
            Kind::Stream => drop(self.attempt(|| self.stream(client)).await),
            Kind::Both => {
                let whole = self.attempt(|| self.generate(client)).await;
                let streamed = self.attempt(|| self.stream(client)).await;
                if let (Some(whole), Some(streamed)) = (whole, streamed) {
                    whole.check_same(&streamed);
                }
            }
            Kind::Score => {
                let call = client.score(message("ScoreRequest", &self.request)).await;
                self.judge(call, |answer| self.expect.check_scores(&answer.scores));
            }
            Kind::Explain => {
                let call = client.explain(message("ExplainRequest", &self.request)).await;
                self.judge(call, |answer| self.expect.check_explanation(&answer));
            }
            Kind::Embed => {
                let call = client.embed(message::<EmbedRequest>("EmbedRequest", &self.request)).await;
                self.judge(call, |answer| self.expect.check_vectors(&answer.embeddings));
            }
            Kind::Tokenize => {
                let call = client.tokenize(message::<TokenizeRequest>("TokenizeRequest", &self.request)).await;
                self.judge(call, |tokens| self.expect.check_tokens(&tokens));
            }
            Kind::Detokenize => {
                let call = client.detokenize(message::<DetokenizeRequest>("DetokenizeRequest", &self.request)).await;
                self.judge(call, |text| self.expect.check_text(&text));
            }
            Kind::CountTokens => {
                let call = client.count_tokens(message::<CountTokensRequest>("CountTokensRequest", &self.request)).await;
                self.judge(call, |answer| self.expect.check_count(answer.count));
            }
        }
    }

    /// Checks how a call ended, and its answer.
    fn judge<T>(&self, call: Result<T, Error>, check: impl FnOnce(T)) {
        match call {
            Ok(answer) => {
                self.expect.check_success();
                check(answer);
            }
            Err(error) => self.expect.check_error(&error),
        }
    }

    /// Makes a call, as often at once as the case says, and gives the first answer; None where none is expected.
    async fn attempt<F>(&self, call: impl Fn() -> F) -> Option<Answer>
    where
        F: Future<Output = Result<Answer, Error>>,
    {
        let mut answers = Vec::new();
        for result in join_all((0..self.parallel).map(|_| call())).await {
            match result {
                Err(error) => self.expect.check_error(&error),
                Ok(answer) => {
                    self.expect.check_success();
                    answers.push(answer);
                }
            }
        }
        if self.leave_after.is_some() {
            assert!(answers.iter().all(|answer| answer.usage.is_none()), "left the stream, and yet it ended");
            return None;
        }
        for answer in &answers {
            self.expect.check_answer(answer);
            assert_eq!(answer.outputs[0].text, answers[0].outputs[0].text);
        }
        answers.into_iter().next()
    }

    async fn generate(&self, client: &Client) -> Result<Answer, Error> {
        Ok(self.limited(client.generate(self.generate_request())).await?.into())
    }

    async fn stream(&self, client: &Client) -> Result<Answer, Error> {
        let mut stream = self.limited(client.stream(self.generate_request())).await.inspect_err(|error| {
            assert!(!self.expect.started, "it was refused: {error}");
        })?;
        assert!(!stream.id().is_empty() && !stream.model().is_empty());
        let mut deltas: Vec<Delta> = Vec::new();
        while let Some(delta) = stream.try_next().await.inspect_err(|error| {
            assert!(self.expect.started, "it had begun when it failed: {error}");
        })? {
            deltas.push(delta);
            if self.cancel_after == Some(deltas.len()) {
                stream.cancel();
            }
            if self.stall_after == Some(deltas.len()) {
                until_busy(client, 0).await;
            }
            if self.leave_after == Some(deltas.len()) {
                break;
            }
        }
        Ok(Answer::of_stream(&stream, deltas))
    }

    fn limited<T>(&self, call: Call<T>) -> Call<T> {
        match self.deadline_ms {
            Some(ms) => call.timeout(Duration::from_millis(ms)),
            None => call,
        }
    }
}
