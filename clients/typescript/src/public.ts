/** What both entry points export. */

export { type CallOptions, Client, type ClientOptions } from "./client.js";
export { type FieldViolation, SluiceError, type StatusCode } from "./errors.js";
export { FinishReason, Pooling } from "./gen/sluice/v1/inference_pb.js";
export { ModelState } from "./gen/sluice/v1/models_pb.js";
export { Generation } from "./generation.js";
export type {
  ChatInput,
  CountTokensInit,
  EmbedInit,
  ExplainInit,
  GenerateInit,
  MessageInit,
  MessagesInput,
  PromptInput,
  ScoreInit,
  TokensInput,
} from "./request.js";
export type { RetryPolicy } from "./retry.js";
export { GenerateStream, type StreamEvent } from "./stream.js";
