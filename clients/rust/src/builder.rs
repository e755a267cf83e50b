//! How a client is made.

use std::error::Error as StdError;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};

use crate::metadata::CallMetadata;
use crate::{Client, RetryPolicy};

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// Says how a client connects and calls. [`Client::builder`] makes one.
///
/// ```no_run
/// use std::time::Duration;
/// use sluice_client::{Certificate, Client, ClientTlsConfig, Identity};
///
/// # fn example(api_key: String) -> Result<(), Box<dyn std::error::Error>> {
/// let tls = ClientTlsConfig::new()
///     .ca_certificate(Certificate::from_pem(std::fs::read("ca.pem")?))
///     .identity(Identity::from_pem(std::fs::read("client.pem")?, std::fs::read("client.key")?));
/// let client = Client::builder()
///     .tls(tls)
///     .api_key(api_key)
///     .timeout(Duration::from_secs(60))
///     .build("sluice.example:50051")?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use]
pub struct ClientBuilder {
    tls: Option<ClientTlsConfig>,
    keep_alive: Option<(Duration, Duration)>,
    api_key: Option<String>,
    allow_clear_text_api_key: bool,
    timeout: Option<Duration>,
    retry: RetryPolicy,
    metadata: CallMetadata,
}

impl fmt::Debug for ClientBuilder {
    /// Shows neither the API key nor a certificate's private key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { keep_alive, timeout, retry, .. } = self;
        f.debug_struct("ClientBuilder")
            .field("keep_alive", keep_alive)
            .field("timeout", timeout)
            .field("retry", retry)
            .finish_non_exhaustive()
    }
}

impl Default for ClientBuilder {
    fn default() -> Self {
        Self {
            tls: None,
            keep_alive: Some((Duration::from_secs(30), Duration::from_secs(15))),
            api_key: None,
            allow_clear_text_api_key: false,
            timeout: None,
            retry: RetryPolicy::default(),
            metadata: CallMetadata::default(),
        }
    }
}

impl ClientBuilder {
    /// Connects with TLS: with authorities to trust, a certificate to show (mutual TLS), or a name that the server's certificate
    /// must have. Default: as the address's scheme says, `https` with the system's authorities, else plain text. A renewed
    /// certificate needs a new client.
    pub fn tls(mut self, config: ClientTlsConfig) -> Self {
        self.tls = Some(config);
        self
    }

    /// Pings a connection after so much silence while calls run, to notice dead ones and to keep live ones through routers
    /// that forget the silent; `timeout` is how long the answer may take. The server sends away who pings more often than
    /// every 10 s. Default: 30 s and 15 s.
    pub fn keep_alive(mut self, interval: Duration, timeout: Duration) -> Self {
        self.keep_alive = Some((interval, timeout));
        self
    }

    /// Sends no pings.
    pub fn no_keep_alive(mut self) -> Self {
        self.keep_alive = None;
        self
    }

    /// Sends a key with every call. It needs TLS, a loopback address or a Unix socket, lest it travel in clear text.
    pub fn api_key(mut self, key: impl Into<String>) -> Self {
        self.api_key = Some(key.into());
        self
    }

    /// Sends the key without TLS too: something else protects the connection, such as a mesh's sidecar.
    pub fn allow_clear_text_api_key(mut self) -> Self {
        self.allow_clear_text_api_key = true;
        self
    }

    /// Time until the deadline of calls that set none, tries and waits included. Default: no deadline.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// How calls are made again. [`RetryPolicy::never`] makes none again.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// Lets a function add metadata to each call when it is made. It runs in the task that awaits the call, so that it finds
    /// what that has, such as the span to continue.
    pub fn metadata_with(mut self, add: impl Fn(&mut MetadataMap) + Send + Sync + 'static) -> Self {
        self.metadata.more.push(Arc::new(add));
        self
    }

    /// Sends OpenTelemetry's current context with every call, by the propagator that the application has set with
    /// `opentelemetry::global::set_text_map_propagator`: the server's spans become children of the current one. A call with a
    /// [`traceparent`](crate::Call::traceparent) of its own keeps that.
    #[cfg(feature = "opentelemetry")]
    pub fn opentelemetry(self) -> Self {
        self.metadata_with(crate::metadata::opentelemetry)
    }

    /// Makes a client of the server at an address: `host:port`, a URL with the scheme `http` or `https`, or
    /// `unix:/path/of/a/socket`. It does not connect: the first call does. It must be called within a Tokio runtime, which
    /// is where the connection lives.
    ///
    /// # Errors
    ///
    /// If the address or a certificate is none, the key must not be sent there, or no runtime is running.
    pub fn build(self, address: &str) -> Result<Client, ConfigError> {
        if Handle::try_current().is_err() {
            return Err(ConfigError::NoRuntime);
        }
        let (url, secure) = self.url(address)?;
        let mut endpoint = Endpoint::from_shared(url).map_err(|_| ConfigError::Address(address.to_owned()))?;
        let private = address.starts_with("unix:") || endpoint.uri().host().is_some_and(is_loopback);
        if self.api_key.is_some() && !secure && !private && !self.allow_clear_text_api_key {
            return Err(ConfigError::ClearTextApiKey);
        }
        if let Some((interval, timeout)) = self.keep_alive {
            endpoint = endpoint.http2_keep_alive_interval(interval).keep_alive_timeout(timeout);
        }
        if secure {
            let config = self.tls.clone().unwrap_or_else(|| ClientTlsConfig::new().with_native_roots());
            endpoint = endpoint.tls_config(config).map_err(|error| ConfigError::Tls(Arc::new(error)))?;
        }
        self.build_with(endpoint.connect_timeout(CONNECT_TIMEOUT).connect_lazy())
    }

    /// Makes a client that calls over a channel of tonic's, which has TLS and keep-alive of its own. Whether it is safe for
    /// an API key is the caller's to know.
    ///
    /// # Errors
    ///
    /// If the key is none.
    pub fn build_with(self, channel: Channel) -> Result<Client, ConfigError> {
        let mut metadata = self.metadata;
        metadata.authorization = self.api_key.as_deref().map(authorization).transpose()?;
        Ok(Client::assemble(channel, metadata, self.timeout, self.retry))
    }

    /// Completes an address, and says whether it means TLS.
    fn url(&self, address: &str) -> Result<(String, bool), ConfigError> {
        let bad = || ConfigError::Address(address.to_owned());
        if address.starts_with("unix:") {
            return if self.tls.is_none() { Ok((address.to_owned(), false)) } else { Err(ConfigError::Contradiction) };
        }
        let Some((scheme, rest)) = address.split_once("://") else {
            let secure = self.tls.is_some();
            let scheme = if secure { "https" } else { "http" };
            return if address.is_empty() { Err(bad()) } else { Ok((format!("{scheme}://{address}"), secure)) };
        };
        match scheme {
            _ if rest.is_empty() => Err(bad()),
            "https" => Ok((address.to_owned(), true)),
            "http" if self.tls.is_none() => Ok((address.to_owned(), false)),
            "http" => Err(ConfigError::Contradiction),
            _ => Err(bad()),
        }
    }
}

/// The metadata of a key.
fn authorization(key: &str) -> Result<MetadataValue<Ascii>, ConfigError> {
    if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(ConfigError::ApiKey);
    }
    let mut value = MetadataValue::try_from(format!("Bearer {key}")).map_err(|_| ConfigError::ApiKey)?;
    value.set_sensitive(true);
    Ok(value)
}

/// Whether a URL's host is certain to be this machine.
fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Why a client could not be made.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ConfigError {
    /// The address is neither `host:port` nor a URL that this client knows.
    Address(String),
    /// The address says plain text, and there is a configuration of TLS.
    Contradiction,
    /// The API key is empty, or not all printable ASCII without spaces. It is not repeated here.
    ApiKey,
    /// The API key would travel in clear text to another machine.
    ClearTextApiKey,
    /// A certificate or a key is none, or the system has no authorities.
    Tls(Arc<tonic::transport::Error>),
    /// No Tokio runtime is running.
    NoRuntime,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => {
                write!(f, "the address {address:?} is neither host:port nor a URL of http, https or unix")
            }
            Self::Contradiction => f.write_str("the address and the configuration of TLS contradict each other"),
            Self::ApiKey => f.write_str("an API key is printable ASCII without spaces"),
            Self::ClearTextApiKey => f.write_str("an API key needs TLS, since the address is not this machine's"),
            Self::Tls(_) => f.write_str("the configuration of TLS cannot be used"),
            Self::NoRuntime => f.write_str("a client is made within a Tokio runtime"),
        }
    }
}

impl StdError for ConfigError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Tls(error) => Some(error),
            _ => None,
        }
    }
}
