//! TLS, certificates, keys, a full queue and traces, with the real server.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use opentelemetry::trace::{FutureExt, SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use sluice_client::{
    Certificate, Client, ClientBuilder, ClientTlsConfig, Code, ConfigError, Error, GenerateRequest, Identity, RetryPolicy,
    Sampling,
};

use crate::servers::{Server, binary, until_busy};

/// Files of certificates and keys, gone with the test.
struct Folder(PathBuf);

impl Folder {
    /// Writes an authority, certificates that it has signed, and a file of keys; returns the key that is in it.
    fn new() -> (Self, String) {
        let folder = Self(std::env::temp_dir().join(format!("sluice-rust-{}", std::process::id())));
        fs::create_dir(&folder.0).unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        folder.write("ca.pem", &authority.pem());
        for name in ["localhost", "client"] {
            let key = KeyPair::generate().unwrap();
            let certificate = CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
            folder.write(&format!("{name}.pem"), &certificate.pem());
            folder.write(&format!("{name}.key"), &key.serialize_pem());
        }
        let key = sluice(&["keys", "new"], "").trim().to_owned();
        folder.write("keys.yaml", &format!("clients:\n{}", sluice(&["keys", "hash", "test"], &key)));
        (folder, key)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    /// Writes a file that nobody else may read, as the server asks of keys.
    fn write(&self, name: &str, text: &str) {
        use std::os::unix::fs::OpenOptionsExt;
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true).mode(0o600).open(self.path(name)).unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn authority(&self) -> ClientTlsConfig {
        ClientTlsConfig::new().ca_certificate(Certificate::from_pem(self.read("ca.pem")))
    }

    fn identity(&self) -> Identity {
        Identity::from_pem(self.read("client.pem"), self.read("client.key"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs the binary and returns what it prints.
fn sluice(args: &[&str], input: &str) -> String {
    let mut process =
        Command::new(binary()).args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("run `make setup`");
    process.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = process.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_careful() {
    let (folder, key) = Folder::new();
    let path = |name: &str| folder.path(name);
    let trace = path("trace.jsonl");
    let mut options = vec!["--slots", "1", "--queue", "1", "--trace-file", &trace];
    let files = [path("localhost.pem"), path("localhost.key"), path("ca.pem"), path("keys.yaml")];
    for (flag, file) in ["--tls-cert", "--tls-key", "--tls-client-ca", "--api-keys"].iter().zip(&files) {
        options.extend([*flag, file]);
    }
    let server = Server::start(&options);
    let address = server.addr.replace("127.0.0.1", "localhost");

    let builder = || Client::builder().tls(folder.authority().identity(folder.identity())).api_key(&*key);
    builder().build(&address).unwrap().models().await.unwrap();
    let named = folder.authority().identity(folder.identity()).domain_name("localhost");
    builder().tls(named).build(&format!("https://{}", server.addr)).unwrap().models().await.unwrap();

    connections(&folder, &address, &key).await;
    full_queue(&address, builder).await;
    let traces = traces(builder(), &address).await;
    server.stop(); // writes what it has
    let written = folder.read("trace.jsonl");
    for id in traces {
        assert!(written.contains(&id), "no span of {id}");
    }
}

/// What is no connection is UNAVAILABLE, and a key that is none is not repeated.
async fn connections(folder: &Folder, address: &str, key: &str) {
    async fn refused(builder: ClientBuilder, address: &str) -> Error {
        builder.retry(RetryPolicy::never()).build(address).unwrap().models().await.unwrap_err()
    }
    let mutual = || folder.authority().identity(folder.identity());
    let error = refused(Client::builder().tls(mutual()), address).await;
    assert_eq!((error.code(), error.reason()), (Code::Unauthenticated, Some("CREDENTIALS_MISSING")));
    let error = refused(Client::builder().tls(mutual()).api_key("secret"), address).await;
    assert_eq!((error.code(), error.reason()), (Code::Unauthenticated, Some("CREDENTIALS_INVALID")));
    assert!(!format!("{error:?}").contains("secret"));
    for (what, builder, address) in [
        ("an unknown authority", Client::builder().api_key(key), &*format!("https://{address}")),
        ("another name", Client::builder().tls(mutual().domain_name("example.com")), address),
        ("no certificate", Client::builder().tls(folder.authority()), address),
        ("plain text", Client::builder(), address),
    ] {
        let error = refused(builder, address).await;
        assert_eq!(error.code(), Code::Unavailable, "{what}: {error:?}");
    }
}

/// A client that tries again gets its answer once there is room.
async fn full_queue(address: &str, builder: impl Fn() -> ClientBuilder) {
    let client = builder().retry(RetryPolicy::never()).build(address).unwrap();
    let sampling = Sampling { max_tokens: Some(2000), ignore_eos: Some(true), ..Sampling::default() };
    let endless = || GenerateRequest::new("x").with_sampling(sampling.clone());
    let first = client.stream(endless()).await.unwrap();
    let second = tokio::spawn(client.stream(endless()).into_future());
    until_busy(&client, 2).await;
    let error = client.generate("y").await.unwrap_err();
    assert_eq!((error.code(), error.reason()), (Code::ResourceExhausted, Some("QUEUE_FULL")));
    assert!(!error.retry_after().unwrap().is_zero());

    let codes = vec![Code::ResourceExhausted];
    let patient = RetryPolicy { max_attempts: 100, retryable_status_codes: codes, ..RetryPolicy::default() };
    let patient = builder().retry(patient).build(address).unwrap();
    let answer = tokio::spawn(patient.generate(GenerateRequest::new("y").with_max_tokens(1)).into_future());
    drop(first);
    second.abort();
    assert_eq!(answer.await.unwrap().unwrap().usage().completion_tokens, 1);
}

/// The context within a trace.
pub fn parent(id: &str) -> opentelemetry::Context {
    let (trace, span) = (TraceId::from_hex(id).unwrap(), SpanId::from_hex("b7ad6b7169203331").unwrap());
    let context = SpanContext::new(trace, span, TraceFlags::SAMPLED, true, TraceState::default());
    opentelemetry::Context::new().with_remote_span_context(context)
}

/// Makes calls with trace contexts and gives their ids.
async fn traces(builder: ClientBuilder, address: &str) -> [String; 3] {
    opentelemetry::global::set_text_map_propagator(opentelemetry_sdk::propagation::TraceContextPropagator::new());
    let ids = ["0af7651916cd43dd8448eb211c80319c", "4bf92f3577b34da6a3ce929d0e0e4736", "5b8efff798038103d269b633813fc60c"];
    let request = || GenerateRequest::new("x").with_max_tokens(1);
    let client = builder.opentelemetry().build(address).unwrap();
    client.generate(request()).traceparent(&format!("00-{}-b7ad6b7169203331-01", ids[0])).await.unwrap();
    client.generate(request()).into_future().with_context(parent(ids[1])).await.unwrap();
    async { client.stream(request()).await?.read().await }.with_context(parent(ids[2])).await.unwrap();
    ids.map(str::to_owned)
}

#[tokio::test]
async fn what_no_client_is_made_of() {
    let is = |result: Result<Client, ConfigError>, want: &str| {
        let error = result.unwrap_err();
        assert!(error.to_string().contains(want), "{error}");
        assert!(!format!("{error:?}").contains("secret"));
    };
    let key = || Client::builder().api_key("secret");
    is(key().build("http://sluice.example:1"), "needs TLS");
    is(key().build("sluice.example:1"), "needs TLS");
    key().allow_clear_text_api_key().build("sluice.example:1").unwrap();
    key().build("https://sluice.example").unwrap();
    for local in ["localhost:1", "127.0.0.2:1", "[::1]:1", "unix:/tmp/socket"] {
        key().build(local).unwrap();
    }
    for bad in ["", "a b", "a\nb", "schlüssel"] {
        is(Client::builder().api_key(bad).build("localhost:1"), "printable ASCII");
    }
    for bad in ["", "ftp://localhost", "http://", "a b:1"] {
        is(Client::new(bad), "neither");
    }
    let tls = || Client::builder().tls(ClientTlsConfig::new());
    is(tls().build("http://localhost:1"), "contradict");
    is(tls().build("unix:/tmp/socket"), "contradict");
    let bad = ClientTlsConfig::new().identity(Identity::from_pem("no", "certificate"));
    let bad = Client::builder().tls(bad);
    assert!(!format!("{bad:?}").contains("key: ["));
    is(bad.build("localhost:1"), "TLS cannot be used");
    assert!(!format!("{:?}", key()).contains("secret"));
}

#[test]
fn no_runtime() {
    assert!(matches!(Client::new("localhost:1"), Err(ConfigError::NoRuntime)));
}
