//! `sluice serve`, and what the tests ask it.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::Value;
use sluice_client::Client;

/// The checkout.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..")
}

/// The server's binary.
pub fn binary() -> PathBuf {
    std::env::var_os("SLUICE_BIN").map_or_else(|| root().join("bin/sluice"), PathBuf::from)
}

/// `sluice serve` with the cache's model. Dropping it kills it.
pub struct Server {
    pub addr: String,
    child: Child,
    log: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts a server and waits until the model is loaded and warm.
    pub fn start(options: &[&str]) -> Self {
        Self::start_at("127.0.0.1:0", options)
    }

    /// The same, at an address.
    pub fn start_at(addr: &str, options: &[&str]) -> Self {
        let child = Command::new(binary())
            .args(["serve", "--grpc-addr", addr, "--http-addr", "", "--drain-delay", "0s", "--log-format", "json"])
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the server does not start: run `make setup`");
        let mut server = Self { addr: String::new(), child, log: None };
        let mut lines = BufReader::new(server.child.stderr.take().unwrap());
        let mut log = String::new();
        while server.addr.is_empty() {
            let start = log.len();
            assert!(lines.read_line(&mut log).unwrap() > 0, "the server does not serve:\n{log}");
            let event: Value = serde_json::from_str(&log[start..]).unwrap_or_default();
            server.addr = event["grpc_addr"].as_str().unwrap_or_default().to_owned();
        }
        server.log = Some(thread::spawn(move || {
            let _ = lines.read_to_string(&mut String::new());
        }));
        server
    }

    /// Lets the server finish what it has.
    pub fn stop(mut self) {
        // The standard library sends no signal but SIGKILL.
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        self.log.take().unwrap().join().unwrap();
        assert!(self.child.wait().unwrap().success());
    }

    /// Kills the server in the middle of what it does.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until so many requests of the first model run or wait.
pub async fn until_busy(client: &Client, want: u32) {
    while busy(client).await != want {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// How many requests of the first model run or wait.
pub async fn busy(client: &Client) -> u32 {
    let models = client.models().await.unwrap();
    models[0].replicas.iter().map(|replica| replica.running + replica.waiting).sum()
}
