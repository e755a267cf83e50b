//! The client.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use crate::call::message;
use crate::metadata::{CallMetadata, Transport};
use crate::v1::inference_service_client::InferenceServiceClient;
use crate::v1::model_service_client::ModelServiceClient;
use crate::v1::tokenizer_service_client::TokenizerServiceClient;
use crate::v1::{
    CountTokensRequest, CountTokensResponse, DetokenizeRequest, EmbedRequest, EmbedResponse, ExplainRequest, ExplainResponse,
    GenerateRequest, GenerateResponse, GetModelRequest, ListModelsRequest, LoadModelRequest, Model, ScoreRequest,
    ScoreResponse, Token, TokenizeRequest, UnloadModelRequest,
};
use crate::{Call, ClientBuilder, ConfigError, Error, GenerateStream, RetryPolicy};

/// Largest answer, in bytes: the server's own limit. tonic's default of 4 MiB is too small for a long answer with
/// log-probabilities.
const MAX_MESSAGE_SIZE: usize = 16 << 20;

/// Calls one Sluice server. Clones share its one HTTP/2 connection, over which calls may run at the same time; it ends with
/// the last clone and call.
///
/// Each method gives a [`Call`], which is made when it is awaited.
#[derive(Clone)]
pub struct Client(Arc<Shared>);

struct Shared {
    transport: Transport,
    timeout: Option<Duration>,
    retry: RetryPolicy,
}

impl Client {
    /// Makes a client of the server at an address, without a key, and with TLS if the address is a URL of `https`. See
    /// [`ClientBuilder::build`].
    ///
    /// # Errors
    ///
    /// If the address is none, or no Tokio runtime is running.
    pub fn new(address: &str) -> Result<Self, ConfigError> {
        Self::builder().build(address)
    }

    /// Makes a client with more than an address.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    pub(crate) fn assemble(channel: Channel, metadata: CallMetadata, timeout: Option<Duration>, retry: RetryPolicy) -> Self {
        Self(Arc::new(Shared { transport: Transport::new(channel, metadata), timeout, retry }))
    }

    /// The connection with the client's key and metadata, for stubs of services that Client has no method for.
    pub fn transport(&self) -> Transport {
        self.0.transport.clone()
    }

    /// Runs a request to its end and gives the whole answer. A text is a prompt, a list of messages a conversation.
    pub fn generate(&self, request: impl Into<GenerateRequest>) -> Call<GenerateResponse> {
        let stub = self.inference();
        self.unary(request.into(), true, move |request| {
            let mut stub = stub.clone();
            async move { stub.generate(request).await }
        })
    }

    /// Gives the answer as it comes. The call is complete, and a refused request has failed, once the request is admitted.
    pub fn stream(&self, request: impl Into<GenerateRequest>) -> Call<GenerateStream> {
        let (stub, policy, request) = (self.inference(), self.0.retry.clone(), request.into());
        Call::new(self.0.timeout, move |options| {
            Box::pin(async move {
                let open = |request| {
                    let mut stub = stub.clone();
                    async move {
                        let mut responses = stub.generate_stream(request).await?.into_inner();
                        let first = responses.message().await?;
                        Ok((responses, first))
                    }
                };
                let ((responses, first), limits) = options.run(policy, request, open).await?;
                Ok(GenerateStream::new(responses, first, limits))
            })
        })
    }

    /// Computes how likely each continuation is behind an input, in their order.
    pub fn score(&self, request: ScoreRequest) -> Call<ScoreResponse> {
        let stub = self.inference();
        self.unary(request, true, move |request| {
            let mut stub = stub.clone();
            async move { stub.score(request).await }
        })
    }

    /// Computes how much each segment of an input moves the probability of an answer.
    pub fn explain(&self, request: ExplainRequest) -> Call<ExplainResponse> {
        let stub = self.inference();
        self.unary(request, true, move |request| {
            let mut stub = stub.clone();
            async move { stub.explain(request).await }
        })
    }

    /// Computes a vector for each of several texts, in their order.
    pub fn embed(&self, request: impl Into<EmbedRequest>) -> Call<EmbedResponse> {
        let stub = self.inference();
        self.unary(request.into(), true, move |request| {
            let mut stub = stub.clone();
            async move { stub.embed(request).await }
        })
    }

    /// Lists the served models, the default one first.
    pub fn models(&self) -> Call<Vec<Model>> {
        let stub = self.model_service();
        let call = self.unary(ListModelsRequest {}, true, move |request| {
            let mut stub = stub.clone();
            async move { stub.list_models(request).await }
        });
        call.map(|response| Ok(response.models))
    }

    /// Describes the served model of a name or alias; `""` names the default model.
    pub fn model(&self, name: impl Into<String>) -> Call<Model> {
        let stub = self.model_service();
        let call = self.unary(GetModelRequest { name: name.into() }, true, move |request| {
            let mut stub = stub.clone();
            async move { stub.get_model(request).await }
        });
        call.map(|response| present(response.model))
    }

    /// Loads a model from the server's model store, and is complete once it serves. For a client of the admin address.
    pub fn load_model(&self, request: LoadModelRequest) -> Call<Model> {
        let stub = self.model_service();
        let call = self.unary(request, false, move |request| {
            let mut stub = stub.clone();
            async move { stub.load_model(request).await }
        });
        call.map(|response| present(response.model))
    }

    /// Takes a model out of service, and is complete once it has finished what it had. For a client of the admin address.
    pub fn unload_model(&self, name: impl Into<String>) -> Call<()> {
        let stub = self.model_service();
        let call = self.unary(UnloadModelRequest { name: name.into() }, false, move |request| {
            let mut stub = stub.clone();
            async move { stub.unload_model(request).await }
        });
        call.map(|_| Ok(()))
    }

    /// Turns text into tokens.
    pub fn tokenize(&self, request: impl Into<TokenizeRequest>) -> Call<Vec<Token>> {
        let stub = self.tokenizer();
        let call = self.unary(request.into(), true, move |request| {
            let mut stub = stub.clone();
            async move { stub.tokenize(request).await }
        });
        call.map(|response| Ok(response.tokens))
    }

    /// Turns token ids into text.
    pub fn detokenize(&self, request: impl Into<DetokenizeRequest>) -> Call<String> {
        let stub = self.tokenizer();
        let call = self.unary(request.into(), true, move |request| {
            let mut stub = stub.clone();
            async move { stub.detokenize(request).await }
        });
        call.map(|response| Ok(response.text))
    }

    /// Counts the prompt tokens that an input would have, without running it.
    pub fn count_tokens(&self, request: impl Into<CountTokensRequest>) -> Call<CountTokensResponse> {
        let stub = self.tokenizer();
        self.unary(request.into(), true, move |request| {
            let mut stub = stub.clone();
            async move { stub.count_tokens(request).await }
        })
    }

    /// A call of one answer, of which `send` is one try. It is made again only if that does no harm.
    fn unary<M, R, F>(&self, request: M, again: bool, send: impl Fn(Request<M>) -> F + Send + Sync + 'static) -> Call<R>
    where
        M: Clone + Send + Sync + 'static,
        R: Send + 'static,
        F: Future<Output = Result<Response<R>, Status>> + Send + 'static,
    {
        let policy = if again { self.0.retry.clone() } else { RetryPolicy::never() };
        Call::new(self.0.timeout, move |options| {
            Box::pin(async move { Ok(message(options.run(policy, request, send).await?.0)) })
        })
    }

    fn inference(&self) -> InferenceServiceClient<Transport> {
        InferenceServiceClient::new(self.transport()).max_decoding_message_size(MAX_MESSAGE_SIZE)
    }

    fn model_service(&self) -> ModelServiceClient<Transport> {
        ModelServiceClient::new(self.transport()).max_decoding_message_size(MAX_MESSAGE_SIZE)
    }

    fn tokenizer(&self) -> TokenizerServiceClient<Transport> {
        TokenizerServiceClient::new(self.transport()).max_decoding_message_size(MAX_MESSAGE_SIZE)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shared { timeout, retry, .. } = &*self.0;
        f.debug_struct("Client").field("timeout", timeout).field("retry", retry).finish_non_exhaustive()
    }
}

fn present(model: Option<Model>) -> Result<Model, Error> {
    model.ok_or_else(|| Status::internal("the answer has no model").into())
}
