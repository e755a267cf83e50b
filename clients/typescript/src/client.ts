import type { MessageInitShape } from "@bufbuild/protobuf";
import { type CallOptions as ConnectCallOptions, type Client as Stub, createClient, type Transport } from "@connectrpc/connect";

import { Limits } from "./deadline.js";
import { failure } from "./errors.js";
import {
  type ContinuationScore,
  type EmbedRequest,
  type ExplainRequest,
  type ExplainResponse,
  type GenerateRequest,
  type GenerateStreamResponse,
  InferenceService,
  type ScoreRequest,
} from "./gen/sluice/v1/inference_pb.js";
import { type LoadModelRequestSchema, type Model, ModelService } from "./gen/sluice/v1/models_pb.js";
import { type Token, TokenizerService, type TokenizeRequestSchema } from "./gen/sluice/v1/tokenizer_pb.js";
import { Generation } from "./generation.js";
import {
  countTokensRequest,
  type CountTokensInit,
  type EmbedInit,
  embedRequest,
  type ExplainInit,
  explainRequest,
  type GenerateInit,
  generateRequest,
  type ScoreInit,
  scoreRequest,
} from "./request.js";
import { Backoff, defaultRetryPolicy, type RetryPolicy } from "./retry.js";
import { GenerateStream } from "./stream.js";

/** What a call may be given besides its request. */
export interface CallOptions {
  /** Cancels the call: the server stops the work at its next step. `AbortSignal.timeout()` counts as a deadline. */
  signal?: AbortSignal;
  /** Milliseconds until the call's deadline, tries and waits included; the server keeps it too. Default: the client's. */
  timeoutMs?: number;
  /** W3C trace context to continue, such as "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01". */
  traceparent?: string;
  /** More headers (gRPC's metadata). */
  headers?: HeadersInit;
}

/** What a client may be told besides its transport. */
export interface ClientOptions {
  /** Key that is sent with every call. */
  apiKey?: string;
  /** Milliseconds until the deadline of calls that set none. Default: no deadline. */
  timeoutMs?: number;
  /** How calls are tried again; what is left out keeps its default. false: never. */
  retry?: Partial<RetryPolicy> | false;
  /** Frees the transport's connections. */
  close?: () => void;
}

/**
 * Calls one Sluice server. `createClient` makes one; the constructor takes any transport of Connect's. Calls may run at the
 * same time. Failed calls throw a SluiceError.
 */
export class Client {
  /** What the calls go through, for the stubs of services that Client has no method for. */
  readonly transport: Transport;

  readonly #inference: Stub<typeof InferenceService>;
  readonly #models: Stub<typeof ModelService>;
  readonly #tokenizer: Stub<typeof TokenizerService>;
  readonly #options: ClientOptions;
  readonly #retry: RetryPolicy;
  #closed = false;

  constructor(transport: Transport, options: ClientOptions = {}) {
    if (options.apiKey !== undefined && !/^[!-~]+$/.test(options.apiKey)) {
      throw new TypeError("an API key is printable ASCII without spaces"); // and is not repeated here
    }
    this.transport = transport;
    this.#inference = createClient(InferenceService, transport);
    this.#models = createClient(ModelService, transport);
    this.#tokenizer = createClient(TokenizerService, transport);
    this.#options = options;
    this.#retry = options.retry === false ? { ...defaultRetryPolicy, maxAttempts: 1 } : { ...defaultRetryPolicy, ...options.retry };
  }

  /** Runs a request to its end and returns the whole answer. A string is a prompt; a whole message is sent as it is. */
  async generate(init: string | GenerateInit | GenerateRequest, options?: CallOptions): Promise<Generation> {
    const request = generation(init);
    return new Generation(await this.#call(options, (call) => this.#inference.generate(request, call)));
  }

  /** Returns the answer as it comes; the arguments are those of generate. A refused request throws at the first delta. */
  stream(init: string | GenerateInit | GenerateRequest, options: CallOptions = {}): GenerateStream {
    const request = generation(init);
    const controller = new AbortController();
    return new GenerateStream(this.#responses(request, options, controller), controller);
  }

  /** Computes how likely each continuation is behind an input, in their order. */
  async score(init: ScoreInit | ScoreRequest, options?: CallOptions): Promise<ContinuationScore[]> {
    const request = scoreRequest(init);
    return (await this.#call(options, (call) => this.#inference.score(request, call))).scores;
  }

  /** Computes how much each segment of an input moves the probability of an answer. */
  async explain(init: ExplainInit | ExplainRequest, options?: CallOptions): Promise<ExplainResponse> {
    const request = explainRequest(init);
    return this.#call(options, (call) => this.#inference.explain(request, call));
  }

  /** Computes a vector for each input, in their order. Texts alone need nothing around them. */
  async embed(init: string | string[] | EmbedInit | EmbedRequest, options?: CallOptions): Promise<number[][]> {
    const request = embedRequest(init);
    return (await this.#call(options, (call) => this.#inference.embed(request, call))).embeddings.map((e) => e.values);
  }

  /** Lists the served models, the default one first. */
  async models(options?: CallOptions): Promise<Model[]> {
    return (await this.#call(options, (call) => this.#models.listModels({}, call))).models;
  }

  /** Describes the served model of a name or alias; without one, the default model. */
  async model(name = "", options?: CallOptions): Promise<Model> {
    return present((await this.#call(options, (call) => this.#models.getModel({ name }, call))).model);
  }

  /** Loads a model from the server's model store; resolves once it serves. For a client of the admin address. */
  async loadModel(request: MessageInitShape<typeof LoadModelRequestSchema>, options?: CallOptions): Promise<Model> {
    return present((await this.#call(options, (call) => this.#models.loadModel(request, call), false)).model);
  }

  /** Takes a model out of service; resolves once it has finished what it had. For a client of the admin address. */
  async unloadModel(name: string, options?: CallOptions): Promise<void> {
    await this.#call(options, (call) => this.#models.unloadModel({ name }, call), false);
  }

  /** Turns text into tokens. */
  async tokenize(text: string | MessageInitShape<typeof TokenizeRequestSchema>, options?: CallOptions): Promise<Token[]> {
    const request = typeof text === "string" ? { text } : text;
    return (await this.#call(options, (call) => this.#tokenizer.tokenize(request, call))).tokens;
  }

  /** Turns token ids into text; a `model` other than the default one is named beside them. */
  async detokenize(ids: number[], options: CallOptions & { model?: string; skipSpecialTokens?: boolean } = {}): Promise<string> {
    const { model = "", skipSpecialTokens = true, ...rest } = options;
    return (await this.#call(rest, (call) => this.#tokenizer.detokenize({ model, ids, skipSpecialTokens }, call))).text;
  }

  /** Counts the prompt tokens that an input would have, without running it. */
  async countTokens(init: string | CountTokensInit, options?: CallOptions): Promise<number> {
    const request = countTokensRequest(typeof init === "string" ? { prompt: init } : init);
    return (await this.#call(options, (call) => this.#tokenizer.countTokens(request, call))).count;
  }

  /** Closes the connections; calls that run end with the code CANCELLED. */
  close(): void {
    this.#closed = true;
    this.#options.close?.();
  }

  /** Makes a call of one answer, and makes it again as the policy says unless that might not be the same. */
  async #call<T>(options: CallOptions = {}, call: (options: ConnectCallOptions) => Promise<T>, again = true): Promise<T> {
    const limits = this.#limits(options, options.signal ?? new AbortController().signal);
    const headers = this.#headers(options);
    for (const backoff = new Backoff(this.#retry); ; ) {
      try {
        return await call({ ...limits.callOptions(), headers: numbered(headers, backoff) });
      } catch (error) {
        const failed = limits.errorOf(error, this.#closed);
        if (!again) throw failed;
        await backoff.next(failed, limits);
      }
    }
  }

  /** Makes a call of many answers, and makes it again as the policy says until the first one has come. */
  async *#responses(
    request: GenerateRequest,
    options: CallOptions,
    controller: AbortController,
  ): AsyncGenerator<GenerateStreamResponse, void, undefined> {
    const unlink = follow(options.signal, controller);
    try {
      const limits = this.#limits(options, controller.signal);
      const headers = this.#headers(options);
      for (const backoff = new Backoff(this.#retry); ; ) {
        let begun = false;
        try {
          const call = { ...limits.callOptions(), headers: numbered(headers, backoff) };
          for await (const response of this.#inference.generateStream(request, call)) {
            begun = true;
            yield response;
          }
          return;
        } catch (error) {
          const failed = limits.errorOf(error, this.#closed);
          if (begun) throw failed;
          await backoff.next(failed, limits);
        }
      }
    } finally {
      unlink();
    }
  }

  #limits(options: CallOptions, signal: AbortSignal): Limits {
    return new Limits(options.timeoutMs ?? this.#options.timeoutMs, signal);
  }

  #headers(options: CallOptions): Headers {
    const headers = new Headers(options.headers);
    if (this.#options.apiKey !== undefined) headers.set("authorization", `Bearer ${this.#options.apiKey}`);
    if (options.traceparent !== undefined) headers.set("traceparent", options.traceparent);
    return headers;
  }
}

/** The headers of a call's next try, which say how many there were before, as gRPC has it. */
function numbered(headers: Headers, backoff: Backoff): Headers {
  if (backoff.previousAttempts > 0) headers.set("grpc-previous-rpc-attempts", String(backoff.previousAttempts));
  return headers;
}

function generation(init: string | GenerateInit | GenerateRequest): GenerateRequest {
  return generateRequest(typeof init === "string" ? { prompt: init } : init);
}

/** Makes a controller abort when a signal does. AbortSignal.any() would, from Node 20.3 on. Returns what ends it. */
function follow(signal: AbortSignal | undefined, controller: AbortController): () => void {
  if (signal === undefined) return () => {};
  const abort = (): void => controller.abort(signal.reason);
  if (signal.aborted) abort();
  else signal.addEventListener("abort", abort);
  return () => signal.removeEventListener("abort", abort);
}

function present(model: Model | undefined): Model {
  if (model === undefined) throw failure("INTERNAL", "the answer has no model");
  return model;
}
