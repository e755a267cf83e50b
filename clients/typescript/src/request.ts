import { create, isMessage, type MessageInitShape } from "@bufbuild/protobuf";

import {
  type Chat,
  ChatSchema,
  type EmbedRequest,
  EmbedRequestSchema,
  type ExplainRequest,
  ExplainRequestSchema,
  type GenerateRequest,
  GenerateRequestSchema,
  type MessageSchema,
  type ScoreRequest,
  ScoreRequestSchema,
  type Tokens,
  TokensSchema,
} from "./gen/sluice/v1/inference_pb.js";
import { type CountTokensRequest, CountTokensRequestSchema } from "./gen/sluice/v1/tokenizer_pb.js";

/** One turn of a conversation: `{ role: "user", content: "…" }`. */
export type MessageInit = MessageInitShape<typeof MessageSchema>;

/** A text to continue. */
export interface PromptInput {
  /** The text. */
  prompt: string;
}

/** A conversation to continue. */
export interface MessagesInput {
  /** The messages, oldest first. */
  messages: MessageInit[];
}

/** A conversation with everything that the API knows of one: tools, a choice of tool, arguments of the template. */
export interface ChatInput {
  /** The conversation. */
  chat: MessageInitShape<typeof ChatSchema>;
}

/** A text that is already tokenized. */
export interface TokensInput {
  /** Token ids, taken as they are. */
  tokens: number[];
}

/** What to embed: a text, several, or token ids in place of some, and any field of `EmbedRequest`. */
export type EmbedInit = {
  /** The texts, or their token ids. */
  inputs: (string | number[])[];
} & Partial<Omit<MessageInitShape<typeof EmbedRequestSchema>, "$typeName" | "$unknown" | "inputs">>;

/** The fields of a message but its input, which has a short form here. */
type Rest<T> = Partial<Omit<T, "$typeName" | "$unknown" | "input">>;

type GenerateFields = Rest<MessageInitShape<typeof GenerateRequestSchema>>;
type ScoreFields = Rest<MessageInitShape<typeof ScoreRequestSchema>>;
type ExplainFields = Rest<MessageInitShape<typeof ExplainRequestSchema>>;
type CountTokensFields = Rest<MessageInitShape<typeof CountTokensRequestSchema>>;

/**
 * What to generate: exactly one of `prompt`, `messages`, `chat` and `tokens`, and any field of `GenerateRequest`. Fields that
 * are left out take the model's default, and where the model has none the server's.
 */
export type GenerateInit = (PromptInput | MessagesInput | ChatInput | TokensInput) & GenerateFields;
/** What to score: an input, and any field of `ScoreRequest`. */
export type ScoreInit = (PromptInput | MessagesInput | ChatInput | TokensInput) & ScoreFields;
/** What to explain: an input, and any field of `ExplainRequest`. */
export type ExplainInit = (PromptInput | MessagesInput | ChatInput) & ExplainFields;
/** What to count: an input, and any field of `CountTokensRequest`. */
export type CountTokensInit = (PromptInput | MessagesInput | ChatInput) & CountTokensFields;

type AnyInput = Partial<PromptInput & MessagesInput & ChatInput & TokensInput>;

/** Makes the request of a generation; a whole message stays as it is. Throws a TypeError unless exactly one input is given. */
export function generateRequest(init: GenerateInit | GenerateRequest): GenerateRequest {
  return isMessage(init, GenerateRequestSchema) ? init : create(GenerateRequestSchema, withInput(init));
}

export function scoreRequest(init: ScoreInit | ScoreRequest): ScoreRequest {
  return isMessage(init, ScoreRequestSchema) ? init : create(ScoreRequestSchema, withInput(init));
}

export function explainRequest(init: ExplainInit | ExplainRequest): ExplainRequest {
  return isMessage(init, ExplainRequestSchema) ? init : create(ExplainRequestSchema, withInput<TextInput>(init));
}

export function embedRequest(init: string | string[] | EmbedInit | EmbedRequest): EmbedRequest {
  if (isMessage(init, EmbedRequestSchema)) return init;
  const { inputs, ...rest } = typeof init === "string" ? { inputs: [init] } : Array.isArray(init) ? { inputs: init } : init;
  return create(EmbedRequestSchema, {
    ...rest,
    inputs: inputs.map((input) => ({
      input: typeof input === "string" ? { case: "text" as const, value: input } : { case: "tokens" as const, value: { ids: input } },
    })),
  });
}

export function countTokensRequest(init: CountTokensInit): CountTokensRequest {
  return create(CountTokensRequestSchema, withInput<TextInput>(init));
}

type TextInput = { case: "prompt"; value: string } | { case: "chat"; value: Chat };
type Input = TextInput | { case: "tokens"; value: Tokens };

/** Moves an input in its short form to where the message has it. */
function withInput<I extends Input = Input, T extends AnyInput = AnyInput>(
  init: T,
): Omit<T, keyof AnyInput> & { input: I } {
  const { prompt, messages, chat, tokens, ...rest } = init;
  const inputs: Input[] = [];
  if (prompt !== undefined) inputs.push({ case: "prompt", value: prompt });
  if (messages !== undefined) inputs.push({ case: "chat", value: create(ChatSchema, { messages }) });
  if (chat !== undefined) inputs.push({ case: "chat", value: create(ChatSchema, chat) });
  if (tokens !== undefined) inputs.push({ case: "tokens", value: create(TokensSchema, { ids: tokens }) });
  const [input, ...more] = inputs;
  if (input === undefined || more.length > 0) {
    throw new TypeError("give exactly one of prompt, messages, chat and tokens");
  }
  return { ...rest, input: input as I };
}
