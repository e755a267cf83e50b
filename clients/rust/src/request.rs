//! Shorter ways to requests. Every field can also be set as such: the messages are plain structs.

use crate::v1::{
    Chat, CountTokensRequest, DetokenizeRequest, EmbedInput, EmbedRequest, ExplainRequest, GenerateRequest, Message,
    OutputOptions, Sampling, ScoreRequest, Stop, TokenizeRequest, Tokens, Tool, constraint, count_tokens_request, embed_input,
    explain_request, generate_request, score_request,
};

impl GenerateRequest {
    /// A request to continue an input: a text, a conversation ([`Chat`] or messages), or [`Tokens`].
    ///
    /// ```
    /// use sluice_client::{GenerateRequest, Message};
    ///
    /// GenerateRequest::new("The capital of France is").with_max_tokens(16).with_temperature(0.0);
    /// GenerateRequest::new([Message::system("Be brief."), Message::user("Name three rivers.")]);
    /// ```
    ///
    /// What is left out takes the model's default, and where the model has none the server's.
    pub fn new(input: impl Into<generate_request::Input>) -> Self {
        Self { input: Some(input.into()), ..Self::default() }
    }

    /// Names the served model. Default: the server's default model.
    #[must_use]
    pub fn with_model(mut self, model: impl Into<String>) -> Self {
        self.model = model.into();
        self
    }

    /// Sets the most tokens to generate.
    #[must_use]
    pub fn with_max_tokens(mut self, tokens: u32) -> Self {
        self.sampling.get_or_insert_default().max_tokens = Some(tokens);
        self
    }

    /// Sets the temperature, 0 to 2; 0 takes the most likely token.
    #[must_use]
    pub fn with_temperature(mut self, temperature: f32) -> Self {
        self.sampling.get_or_insert_default().temperature = Some(temperature);
        self
    }

    /// Sets the seed of the random numbers.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.sampling.get_or_insert_default().seed = Some(seed);
        self
    }

    /// Says all of how tokens are chosen, in the place of what was set before.
    #[must_use]
    pub fn with_sampling(mut self, sampling: Sampling) -> Self {
        self.sampling = Some(sampling);
        self
    }

    /// Sets the texts that end the output where they appear.
    #[must_use]
    pub fn with_stop<S: Into<String>>(mut self, strings: impl IntoIterator<Item = S>) -> Self {
        self.stop.get_or_insert_default().strings = strings.into_iter().map(Into::into).collect();
        self
    }

    /// Says what the text must conform to, such as a JSON Schema.
    #[must_use]
    pub fn with_constraint(mut self, kind: constraint::Kind) -> Self {
        self.constraint.get_or_insert_default().kind = Some(kind);
        self
    }

    /// Says what the answer carries besides text.
    #[must_use]
    pub fn with_output(mut self, output: OutputOptions) -> Self {
        self.output = Some(output);
        self
    }
}

impl<I: Into<generate_request::Input>> From<I> for GenerateRequest {
    fn from(input: I) -> Self {
        Self::new(input)
    }
}

impl ScoreRequest {
    /// A request to score continuations of an input.
    pub fn new<S: Into<String>>(input: impl Into<score_request::Input>, continuations: impl IntoIterator<Item = S>) -> Self {
        let continuations = continuations.into_iter().map(Into::into).collect();
        Self { input: Some(input.into()), continuations, ..Self::default() }
    }
}

impl ExplainRequest {
    /// A request to explain an answer to an input, such as the text that a generation gave.
    pub fn new(input: impl Into<explain_request::Input>, answer: impl Into<String>) -> Self {
        Self { input: Some(input.into()), answer: answer.into(), ..Self::default() }
    }
}

impl EmbedRequest {
    /// A request to embed texts or [`Tokens`].
    pub fn new<I: Into<embed_input::Input>>(inputs: impl IntoIterator<Item = I>) -> Self {
        let inputs = inputs.into_iter().map(|input| EmbedInput { input: Some(input.into()) }).collect();
        Self { inputs, ..Self::default() }
    }
}

impl<I: Into<embed_input::Input>> From<Vec<I>> for EmbedRequest {
    fn from(inputs: Vec<I>) -> Self {
        Self::new(inputs)
    }
}

impl<I: Into<embed_input::Input>, const N: usize> From<[I; N]> for EmbedRequest {
    fn from(inputs: [I; N]) -> Self {
        Self::new(inputs)
    }
}

impl<I: Into<count_tokens_request::Input>> From<I> for CountTokensRequest {
    fn from(input: I) -> Self {
        Self { input: Some(input.into()), ..Self::default() }
    }
}

impl<S: Into<String>> From<S> for TokenizeRequest {
    fn from(text: S) -> Self {
        Self { text: text.into(), ..Self::default() }
    }
}

impl From<Vec<u32>> for DetokenizeRequest {
    fn from(ids: Vec<u32>) -> Self {
        Self { ids, ..Self::default() }
    }
}

impl From<Vec<u32>> for Tokens {
    fn from(ids: Vec<u32>) -> Self {
        Self { ids }
    }
}

impl Chat {
    /// A conversation, oldest message first.
    pub fn new(messages: impl IntoIterator<Item = Message>) -> Self {
        Self { messages: messages.into_iter().collect(), ..Self::default() }
    }

    /// Sets the tools that the model may call.
    #[must_use]
    pub fn with_tools(mut self, tools: impl IntoIterator<Item = Tool>) -> Self {
        self.tools = tools.into_iter().collect();
        self
    }
}

impl Message {
    /// A message of a role.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: content.into(), ..Self::default() }
    }

    /// A message that tells the model how to behave.
    pub fn system(content: impl Into<String>) -> Self {
        Self::new("system", content)
    }

    /// A message of the one who asks.
    pub fn user(content: impl Into<String>) -> Self {
        Self::new("user", content)
    }

    /// A message that the model gave earlier.
    pub fn assistant(content: impl Into<String>) -> Self {
        Self::new("assistant", content)
    }

    /// What a tool answered to the call with an id.
    pub fn tool(call_id: impl Into<String>, content: impl Into<String>) -> Self {
        Self { tool_call_id: call_id.into(), ..Self::new("tool", content) }
    }
}

impl Stop {
    /// Texts that end the output where they appear.
    pub fn new<S: Into<String>>(strings: impl IntoIterator<Item = S>) -> Self {
        Self { strings: strings.into_iter().map(Into::into).collect(), ..Self::default() }
    }
}

/// Lets texts and conversations be the input of requests.
macro_rules! inputs {
    ($($input:ty),*) => {$(
        impl From<&str> for $input {
            fn from(prompt: &str) -> Self {
                Self::Prompt(prompt.to_owned())
            }
        }

        impl From<String> for $input {
            fn from(prompt: String) -> Self {
                Self::Prompt(prompt)
            }
        }

        impl From<Chat> for $input {
            fn from(chat: Chat) -> Self {
                Self::Chat(chat)
            }
        }

        impl From<Vec<Message>> for $input {
            fn from(messages: Vec<Message>) -> Self {
                Self::Chat(Chat::new(messages))
            }
        }

        impl<const N: usize> From<[Message; N]> for $input {
            fn from(messages: [Message; N]) -> Self {
                Self::Chat(Chat::new(messages))
            }
        }
    )*};
}

inputs!(generate_request::Input, score_request::Input, explain_request::Input, count_tokens_request::Input);

impl From<&str> for embed_input::Input {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for embed_input::Input {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

/// Lets tokens be the input of requests.
macro_rules! token_inputs {
    ($($input:ty),*) => {$(
        impl From<Tokens> for $input {
            fn from(tokens: Tokens) -> Self {
                Self::Tokens(tokens)
            }
        }
    )*};
}

token_inputs!(generate_request::Input, score_request::Input, embed_input::Input);
