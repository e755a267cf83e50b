//! What the cases of clients/conformance expect.

use serde::Deserialize;
use serde_json::Value;
use sluice_client::v1::{ContinuationScore, Embedding, ExplainResponse, FinishReason, Token, TokenLogprobs, ToolCall};
use sluice_client::{Delta, Error, GenerateResponse, GenerateStream, Output, Usage};

/// A case's `expect`. What is None or empty is not checked.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Expectation {
    code: Option<String>,
    fields: Vec<String>,
    reason: Option<String>,
    resource: Option<String>,
    retry_after: bool,
    pub started: bool,

    id: Option<String>,
    text: Option<String>,
    text_prefix: String,
    text_in: Option<Vec<String>>,
    json_keys: Option<Vec<String>>,
    finish_reasons: Option<Vec<String>>,
    stop_sequence: Option<String>,
    tool_calls: Option<Vec<ExpectedCall>>,
    seeds: Option<Vec<String>>,
    prompt_tokens: Option<u32>,
    completion_tokens: Option<u32>,
    min_deltas: usize,
    token_ids: bool,
    logprobs: Option<usize>,
    prompt_logprobs: bool,
    pub idle: bool,

    best: usize,
    tokens: Vec<u32>,
    ids: Vec<u32>,
    vector_sizes: Vec<usize>,
    answer_tokens: u32,
    segments: Vec<(u32, u32)>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectedCall {
    name: String,
    arguments: Value,
}

/// A unary answer or a stream's, in one form.
#[derive(Debug)]
pub struct Answer {
    id: String,
    model: String,
    pub outputs: Vec<Output>,
    pub usage: Option<Usage>,
    prompt_logprobs: Vec<TokenLogprobs>,
    /// None: it was not streamed.
    deltas: Option<Vec<Delta>>,
}

impl From<GenerateResponse> for Answer {
    fn from(whole: GenerateResponse) -> Self {
        let GenerateResponse { id, model, outputs, usage, prompt_logprobs, .. } = whole;
        Self { id, model, outputs, usage, prompt_logprobs, deltas: None }
    }
}

impl Answer {
    pub fn of_stream(stream: &GenerateStream, deltas: Vec<Delta>) -> Self {
        let mut outputs: Vec<_> = stream
            .finished()
            .iter()
            .map(|end| {
                let mut output = Output {
                    index: end.index,
                    finish_reason: end.finish_reason,
                    stop_sequence: end.stop_sequence.clone(),
                    seed: end.seed,
                    ..Output::default()
                };
                for delta in deltas.iter().filter(|delta| delta.index == end.index) {
                    join(&mut output, delta);
                }
                output
            })
            .collect();
        outputs.sort_by_key(|output| output.index);
        Self {
            id: stream.id().to_owned(),
            model: stream.model().to_owned(),
            outputs,
            usage: stream.usage(),
            prompt_logprobs: stream.prompt_logprobs().to_vec(),
            deltas: Some(deltas),
        }
    }

    /// Checks that a stream has told what this unary answer told.
    pub fn check_same(&self, streamed: &Answer) {
        // Seeds that the request does not name and ids of calls are drawn anew.
        let told = |answer: &Answer| {
            let mut outputs = answer.outputs.clone();
            for output in &mut outputs {
                output.seed = 0;
                output.tool_calls.iter_mut().for_each(|call| call.id.clear());
            }
            // The first request leaves the prompt in the cache.
            (outputs, answer.usage.map(|usage| Usage { cached_tokens: 0, ..usage }), answer.prompt_logprobs.clone())
        };
        assert_eq!(told(self), told(streamed), "unary and streamed");
    }
}

/// Adds a delta to its output.
fn join(output: &mut Output, delta: &Delta) {
    output.text += &delta.text;
    output.reasoning += &delta.reasoning;
    output.token_ids.extend(&delta.token_ids);
    output.logprobs.extend_from_slice(&delta.logprobs);
    output.sampling_trace.extend_from_slice(&delta.sampling_trace);
    for fragment in &delta.tool_calls {
        let index = fragment.index as usize;
        if fragment.retracted {
            output.tool_calls.truncate(index);
        } else if index == output.tool_calls.len() {
            let (id, name, arguments) = (fragment.id.clone(), fragment.name.clone(), fragment.arguments.clone());
            output.tool_calls.push(ToolCall { id, name, arguments });
        } else {
            output.tool_calls[index].arguments += &fragment.arguments;
        }
    }
}

impl Expectation {
    /// Checks that a call was to succeed.
    pub fn check_success(&self) {
        assert_eq!(self.code, None, "it succeeds");
    }

    /// Checks how a call failed.
    pub fn check_error(&self, error: &Error) {
        let code = self.code.as_ref().unwrap_or_else(|| panic!("it fails: {error}"));
        let name: String = format!("{:?}", error.code())
            .chars()
            .enumerate()
            .flat_map(|(i, c)| (i > 0 && c.is_uppercase()).then_some('_').into_iter().chain(c.to_uppercase()))
            .collect();
        assert_eq!(&name, code, "{error}");
        let sorted = |mut names: Vec<String>| {
            names.sort();
            names
        };
        let fields = error.field_violations().iter().map(|violation| violation.field.clone()).collect();
        assert_eq!(sorted(fields), sorted(self.fields.clone()));
        assert!(error.field_violations().iter().all(|violation| !violation.description.is_empty()));
        assert!(self.reason.is_none() || error.reason() == self.reason.as_deref(), "{:?}", error.reason());
        assert_eq!(error.resource().map(str::to_owned), self.resource);
        assert!(!self.retry_after || error.retry_after().is_some_and(|after| !after.is_zero()));
    }

    /// Checks an answer.
    pub fn check_answer(&self, answer: &Answer) {
        let usage = answer.usage.expect("usage");
        assert!(!answer.id.is_empty() && !answer.model.is_empty() && !answer.outputs.is_empty());
        let outputs = &answer.outputs;
        let reasons = outputs.iter().map(|output| output.finish_reason().as_str_name().to_owned()).collect();
        let seeds = outputs.iter().map(|output| output.seed.to_string()).collect();
        same("id", &self.id, answer.id.clone());
        same("finishReasons", &self.finish_reasons, reasons);
        same("stopSequence", &self.stop_sequence, outputs[0].stop_sequence.clone());
        same("seeds", &self.seeds, seeds);
        same("promptTokens", &self.prompt_tokens, usage.prompt_tokens);
        same("completionTokens", &self.completion_tokens, usage.completion_tokens);
        assert!(outputs.iter().all(|output| output.finish_reason() != FinishReason::Unspecified));
        self.check_text(&outputs[0].text);
        if let Some(calls) = &self.tool_calls {
            check_calls(calls, &outputs[0].tool_calls);
        }
        let completion = usage.completion_tokens as usize;
        assert!(!self.token_ids || outputs.iter().map(|output| output.token_ids.len()).sum::<usize>() == completion);
        if let Some(top) = self.logprobs {
            assert_eq!(outputs.iter().map(|output| output.logprobs.len()).sum::<usize>(), completion);
            outputs.iter().for_each(|output| check_logprobs(&output.logprobs, top));
        }
        assert!(!self.prompt_logprobs || answer.prompt_logprobs.len() == usage.prompt_tokens as usize);
        if let Some(deltas) = &answer.deltas {
            assert!(deltas.iter().filter(|delta| !delta.text.is_empty()).count() >= self.min_deltas);
            let torn = deltas.iter().any(|delta| delta.text.contains('\u{FFFD}'));
            assert!(!torn || outputs.iter().any(|output| output.text.contains('\u{FFFD}')), "a delta splits a character");
        }
    }

    pub fn check_text(&self, text: &str) {
        same("text", &self.text, text.to_owned());
        assert!(text.starts_with(&self.text_prefix), "{text:?}");
        assert!(self.text_in.as_ref().is_none_or(|texts| texts.iter().any(|one| one == text)), "{text:?}");
        if let Some(keys) = &self.json_keys {
            let object: serde_json::Map<String, Value> = serde_json::from_str(text).expect("a JSON object");
            assert!(object.len() == keys.len() && keys.iter().all(|key| object.contains_key(key)), "{text:?}");
        }
    }

    /// Checks the answer of `score`.
    pub fn check_scores(&self, scores: &[ContinuationScore]) {
        assert_eq!(scores.iter().map(|score| score.tokens).collect::<Vec<_>>(), self.tokens);
        let best = &scores[self.best];
        assert!(scores.iter().all(|score| score.log_likelihood <= best.log_likelihood), "{scores:?}");
        if let Some(top) = self.logprobs {
            for score in scores {
                assert_eq!(score.logprobs.len(), score.tokens as usize);
                check_logprobs(&score.logprobs, top);
            }
        }
    }

    /// Checks the answer of `explain`.
    pub fn check_explanation(&self, explanation: &ExplainResponse) {
        let segments: Vec<_> = explanation.attributions.iter().map(|part| (part.start, part.end)).collect();
        assert_eq!((segments, explanation.answer_tokens), (self.segments.clone(), self.answer_tokens));
        assert!(explanation.log_likelihood < 0.0);
    }

    /// Checks the answer of `embed`.
    pub fn check_vectors(&self, embeddings: &[Embedding]) {
        assert_eq!(embeddings.iter().map(|embedding| embedding.values.len()).collect::<Vec<_>>(), self.vector_sizes);
        for embedding in embeddings {
            let length = embedding.values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
            assert!((length - 1.0).abs() < 1e-4, "a vector of the length {length}");
        }
    }

    /// Checks the answer of `tokenize`.
    pub fn check_tokens(&self, tokens: &[Token]) {
        assert_eq!(tokens.iter().map(|token| token.id).collect::<Vec<_>>(), self.ids);
    }

    /// Checks the answer of `countTokens`.
    pub fn check_count(&self, count: u32) {
        assert_eq!(Some(count), self.prompt_tokens);
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, want: &Option<T>, is: T) {
    assert!(want.as_ref().is_none_or(|want| *want == is), "{what}: {is:?}, want {want:?}");
}

fn check_calls(want: &[ExpectedCall], calls: &[ToolCall]) {
    assert_eq!(calls.len(), want.len());
    for (call, want) in calls.iter().zip(want) {
        assert!(!call.id.is_empty());
        let arguments: Value = serde_json::from_str(&call.arguments).expect("arguments of JSON");
        assert_eq!((&call.name, &arguments), (&want.name, &want.arguments));
    }
}

/// Checks entries with so many of the likeliest tokens each.
fn check_logprobs(entries: &[TokenLogprobs], top: usize) {
    for entry in entries {
        let chosen = entry.chosen.as_ref().expect("the chosen token");
        assert!(chosen.logprob <= 0.0 && chosen.rank >= 1, "{entry:?}");
        let ranks: Vec<_> = entry.top.iter().map(|likely| likely.rank as usize).collect();
        assert_eq!(ranks, (1..=top).collect::<Vec<_>>());
    }
}
