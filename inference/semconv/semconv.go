// Package semconv pins the names of spans, attributes and metrics that Sluice emits. The gen_ai names are those of
// the OpenTelemetry semantic conventions 1.41.0 (generative AI, status Development); the sluice names are our own.
// They change only with a CHANGELOG entry and one release of overlap.
package semconv

import "go.opentelemetry.io/otel/attribute"

// SchemaURL is the schema of the gen_ai names.
const SchemaURL = "https://opentelemetry.io/schemas/1.41.0"

// Attributes of the inference span.
//
//nolint:gosec // a token is a piece of text here, not a credential
const (
	GenAIOperationName           attribute.Key = "gen_ai.operation.name" // OperationChat, OperationTextCompletion, …
	GenAIProviderName            attribute.Key = "gen_ai.provider.name"  // Provider
	GenAIRequestModel            attribute.Key = "gen_ai.request.model"  // the real name, never an alias
	GenAIRequestMaxTokens        attribute.Key = "gen_ai.request.max_tokens"
	GenAIRequestTemperature      attribute.Key = "gen_ai.request.temperature"
	GenAIRequestTopK             attribute.Key = "gen_ai.request.top_k"
	GenAIRequestTopP             attribute.Key = "gen_ai.request.top_p"
	GenAIRequestPresencePenalty  attribute.Key = "gen_ai.request.presence_penalty"
	GenAIRequestFrequencyPenalty attribute.Key = "gen_ai.request.frequency_penalty"
	GenAIRequestSeed             attribute.Key = "gen_ai.request.seed"
	GenAIRequestChoiceCount      attribute.Key = "gen_ai.request.choice.count"
	GenAIResponseID              attribute.Key = "gen_ai.response.id"
	GenAIResponseModel           attribute.Key = "gen_ai.response.model" // the served model's real name
	GenAIResponseFinishReasons   attribute.Key = "gen_ai.response.finish_reasons"
	GenAITokenType               attribute.Key = "gen_ai.token.type" // TokenTypeInput or TokenTypeOutput; of metrics
	GenAIUsageInputTokens        attribute.Key = "gen_ai.usage.input_tokens"
	GenAIUsageOutputTokens       attribute.Key = "gen_ai.usage.output_tokens"
	GenAIUsageCachedTokens       attribute.Key = "gen_ai.usage.cache_read.input_tokens" // part of the input tokens
	GenAIInputMessages           attribute.Key = "gen_ai.input.messages"                // JSON text; only if the operator asks for it
	GenAIOutputMessages          attribute.Key = "gen_ai.output.messages"               // as above
	ErrorType                    attribute.Key = "error.type"
)

// Values of gen_ai attributes.
const (
	Provider                = "sluice"          // gen_ai.provider.name
	OperationChat           = "chat"            // gen_ai.operation.name
	OperationTextCompletion = "text_completion" // gen_ai.operation.name
	OperationEmbeddings     = "embeddings"      // gen_ai.operation.name
	OperationScore          = "score"           // ours, since the conventions have none
	OperationExplain        = "explain"         // as above
	TokenTypeInput          = "input"           // gen_ai.token.type
	TokenTypeOutput         = "output"          // gen_ai.token.type
)

// Attributes of the spans of the engine.
//
//nolint:gosec // a token is a piece of text here, not a credential
const (
	// TokenIndex is the index of the first output token that a span yielded, from 0. The first token belongs to the
	// last prefill.
	TokenIndex attribute.Key = "sluice.token.index"
	// BatchSize is how many sequences were in the step: the decode rows and the one with the prompt chunk.
	BatchSize attribute.Key = "sluice.batch.size"
	// Slot is the slot that held the sequence during the step.
	Slot attribute.Key = "sluice.slot"
	// ContextLength is how many positions the slot held after the step.
	ContextLength attribute.Key = "sluice.context.length"
	// Tokens is how many tokens a span yielded (decode, detokenize) or processed (tokenize, prefill, engine.step).
	Tokens attribute.Key = "sluice.tokens"
	// CachedTokens is how many prompt tokens came from the prefix store, on a request's first prefill if there are any.
	CachedTokens attribute.Key = "sluice.cached_tokens"
	// Preemptions is how often a request has lost its slot, on the event EventPreempted.
	Preemptions attribute.Key = "sluice.preemptions"
)

// Attributes of metrics.
const (
	Model  attribute.Key = "model"  // the served model's name
	Tenant attribute.Key = "tenant" // whose request it was, by the server's configuration; "" without credentials
	// Outcome is how a request ended: OutcomeOK, or the error.type of the span.
	Outcome attribute.Key = "outcome"
	// CacheResult is whether something was there already: CacheHit or CacheMiss.
	CacheResult attribute.Key = "result"
	// Phase is what a step did with tokens: PhasePrefill or PhaseDecode.
	Phase attribute.Key = "phase"
	// Method is how next tokens were guessed: MethodPromptLookup or MethodDraftModel.
	Method attribute.Key = "method"
)

// Values of the attributes of metrics.
const (
	OutcomeOK    = "ok"
	CacheHit     = "hit"
	CacheMiss    = "miss"
	OtherTenant  = "_other" // tenants beyond the number that metrics tell apart
	PhasePrefill = "prefill"
	PhaseDecode  = "decode"

	MethodPromptLookup = "prompt_lookup"
	MethodDraftModel   = "draft_model"
)

// Names of spans under the inference span, and of the step of a whole batch.
const (
	SpanTokenize   = "tokenize"
	SpanQueue      = "queue"
	SpanPrefill    = "prefill"
	SpanDecode     = "decode"
	SpanDetokenize = "detokenize"
	SpanStep       = "engine.step"
)

// Names of events of the inference span.
const (
	EventPreempted = "sluice.preempted" // the request lost its slot to others, which grew beyond the KV budget
	EventResumed   = "sluice.resumed"   // it has one again and starts over
)

// Names of metrics. Those of our own are written as Prometheus shows them. A gauge must not have the unit "1": the
// Prometheus exporter would add the suffix "_ratio".
//
//nolint:gosec // a token is a piece of text here, not a credential
const (
	MetricRequestsRunning = "sluice_requests_running" // gauge
	MetricRequestsWaiting = "sluice_requests_waiting" // gauge
	MetricKVCacheUsage    = "sluice_kv_cache_usage"   // gauge, 0 to 1

	MetricKVCacheTokens = "sluice_kv_cache_tokens" // gauge: positions that running requests hold
	MetricPreemptions   = "sluice_preemptions"     // counter, unit {request}: slots lost to others that grew

	MetricDraftTokens     = "sluice_speculation_draft_tokens"    // counter, unit {token}: guesses that were checked
	MetricAcceptedTokens  = "sluice_speculation_accepted_tokens" // counter, unit {token}: those of them that were right
	MetricPrefixQueries   = "sluice_prefix_cache_queries"        // counter, unit {token}: prompt tokens that were looked up
	MetricPrefixHits      = "sluice_prefix_cache_hits"           // counter, unit {token}: those of them that were found
	MetricPrefixEvictions = "sluice_prefix_cache_evictions"      // counter, unit {block}
	MetricPrefixSize      = "sluice_prefix_cache_size"           // gauge, unit By; Prometheus adds "_bytes"

	MetricStepDuration  = "sluice_step_duration"   // histogram, unit s; Prometheus adds "_seconds"
	MetricStepBatchSize = "sluice_step_batch_size" // histogram, unit {request}

	MetricStepTokens        = "sluice_step_tokens"         // counter, unit {token}: processed (prefill) and yielded (decode) by steps
	MetricInterTokenLatency = "sluice_inter_token_latency" // histogram, unit s

	MetricRequests        = "sluice_requests"         // counter, unit {request}, by tenant and outcome
	MetricPromptTokens    = "sluice_prompt_tokens"    // counter, unit {token}, by tenant
	MetricCachedTokens    = "sluice_cached_tokens"    // counter, unit {token}, by tenant
	MetricOutputTokens    = "sluice_output_tokens"    // counter, unit {token}, by tenant
	MetricQueueDuration   = "sluice_queue_duration"   // histogram, unit s
	MetricPrefillDuration = "sluice_prefill_duration" // histogram, unit s

	MetricConstraintCompileDuration = "sluice_constraint_compile_duration" // histogram, unit s
	MetricConstraintLookups         = "sluice_constraint_lookups"          // counter, unit {request}, by result

	// MetricClientTokenUsage is a client's metric in the conventions, which have none of the server's for tokens. The
	// server records it, as gateways do: every client's tokens are counted whether it has telemetry or not.
	MetricClientTokenUsage = "gen_ai.client.token.usage" // histogram, unit {token}

	MetricReplicaRestarts = "sluice_replica_restarts" // counter, unit {restart}: attempts to rebuild a replica that failed

	MetricServerRequestDuration    = "gen_ai.server.request.duration"      // histogram, unit s
	MetricServerTimeToFirstToken   = "gen_ai.server.time_to_first_token"   // histogram, unit s
	MetricServerTimePerOutputToken = "gen_ai.server.time_per_output_token" // histogram, unit s
)

// RequestDurationBuckets are the conventions' bucket boundaries of gen_ai.server.request.duration, in seconds.
func RequestDurationBuckets() []float64 {
	return []float64{0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92}
}

// TimeToFirstTokenBuckets are the conventions' bucket boundaries of gen_ai.server.time_to_first_token, in seconds.
func TimeToFirstTokenBuckets() []float64 {
	return []float64{
		0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
	}
}

// TimePerOutputTokenBuckets are the conventions' bucket boundaries of gen_ai.server.time_per_output_token, in
// seconds.
func TimePerOutputTokenBuckets() []float64 {
	return []float64{0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5}
}

// StepDurationBuckets are the bucket boundaries of MetricStepDuration, in seconds.
func StepDurationBuckets() []float64 {
	return []float64{0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5}
}

// StepBatchSizeBuckets are the bucket boundaries of MetricStepBatchSize, in requests.
func StepBatchSizeBuckets() []float64 {
	return []float64{1, 2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 128}
}

// InterTokenLatencyBuckets are the bucket boundaries of MetricInterTokenLatency, in seconds.
func InterTokenLatencyBuckets() []float64 {
	return []float64{
		0.001, 0.0025, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2.5,
	}
}

// QueueDurationBuckets are the bucket boundaries of MetricQueueDuration, in seconds.
func QueueDurationBuckets() []float64 {
	return []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60}
}

// ConstraintCompileBuckets are the bucket boundaries of MetricConstraintCompileDuration, in seconds.
func ConstraintCompileBuckets() []float64 {
	return []float64{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}
}

// TokenUsageBuckets are the conventions' bucket boundaries of gen_ai.client.token.usage, in tokens.
func TokenUsageBuckets() []float64 {
	return []float64{1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864}
}
