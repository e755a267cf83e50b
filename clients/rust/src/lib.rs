#![doc = include_str!("../README.md")]
#![warn(missing_docs, missing_debug_implementations, unreachable_pub)]
#![forbid(unsafe_code)]

mod builder;
mod call;
mod client;
mod error;
mod limits;
mod metadata;
mod request;
mod response;
mod retry;
mod stream;

/// The generated messages and client stubs of the API. Every field has the comment of its proto.
#[rustfmt::skip]
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
#[path = "gen/sluice.v1.rs"]
pub mod v1;

pub use builder::{ClientBuilder, ConfigError};
pub use call::Call;
pub use client::Client;
pub use error::Error;
pub use metadata::{CallMetadata, Transport};
pub use retry::RetryPolicy;
pub use stream::{Events, GenerateStream, Text};

pub use tonic::Code;
pub use tonic::transport::{Certificate, ClientTlsConfig, Identity};
pub use tonic_types::FieldViolation;

pub use v1::generate_stream_response::Event;
pub use v1::{
    Chat, Delta, FinishReason, GenerateRequest, GenerateResponse, Message, Model, Output, OutputOptions, Sampling, Stop,
    Tokens, Usage,
};
