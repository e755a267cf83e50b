import type {
  Delta,
  Finished,
  GenerateStreamResponse,
  Timings,
  TokenLogprobs,
  Usage,
} from "./gen/sluice/v1/inference_pb.js";
import { failure } from "./errors.js";

/** One event of a stream: `case` says what `value` is. */
export type StreamEvent = Exclude<GenerateStreamResponse["event"], { case: undefined }>;

/**
 * An answer as it comes. Iterate over it once, with `for await`, for its deltas; or over `text()` or `events()`. The request
 * starts when the first one is asked for. Leaving the loop early cancels the request in the server.
 */
export class GenerateStream implements AsyncIterable<Delta> {
  /** The request's id, once it is admitted: from the first delta on. */
  id = "";
  /** Name of the model that answers, once the request is admitted. */
  model = "";
  /** What the model thought of each token of the prompt, if `output.promptLogprobs` was set: complete from the first delta on. */
  readonly promptLogprobs: TokenLogprobs[] = [];
  /** Why each output ended, in the order of their ends. */
  readonly finished: Finished[] = [];
  /** Tokens counted; undefined until the end. */
  usage: Usage | undefined;
  /** Where the time went; undefined until the end. */
  timings: Timings | undefined;

  readonly #controller: AbortController;
  readonly #events: AsyncGenerator<StreamEvent, void, undefined>;

  /** Not for users: `Client.stream` makes streams. Aborting the controller must end the responses. */
  constructor(responses: AsyncIterable<GenerateStreamResponse>, controller: AbortController) {
    this.#controller = controller;
    this.#events = this.#read(responses);
  }

  /** The deltas of all outputs. No delta splits a character. */
  [Symbol.asyncIterator](): AsyncGenerator<Delta, void, undefined> {
    return this.#deltas();
  }

  /** All events as the server sends them, but those that this version of the package does not know. */
  events(): AsyncGenerator<StreamEvent, void, undefined> {
    return this.#events;
  }

  /** The texts of the first output, none of them empty. */
  async *text(): AsyncGenerator<string, void, undefined> {
    for await (const delta of this) {
      if (delta.index === 0 && delta.text !== "") yield delta.text;
    }
  }

  /** Reads the stream to its end and returns the joined text of the first output. */
  async read(): Promise<string> {
    let joined = "";
    for await (const text of this.text()) joined += text;
    return joined;
  }

  /** Cancels the request; whoever iterates gets a SluiceError with the code CANCELLED. Does nothing once it has ended. */
  cancel(reason?: unknown): void {
    this.#controller.abort(reason);
  }

  async *#deltas(): AsyncGenerator<Delta, void, undefined> {
    for await (const event of this.#events) {
      if (event.case === "delta") yield event.value;
    }
  }

  async *#read(responses: AsyncIterable<GenerateStreamResponse>): AsyncGenerator<StreamEvent, void, undefined> {
    try {
      for await (const { event } of responses) {
        if (event.case === undefined) continue; // of a newer server
        this.#note(event);
        let wanted = false;
        try {
          yield event;
          wanted = true;
        } finally {
          if (!wanted) this.cancel(); // the reader has left: before the transport is asked to end in good order
        }
      }
      if (this.usage === undefined) throw failure("INTERNAL", "the stream ended without its summary");
    } finally {
      this.cancel(); // what listens to the controller may go
    }
  }

  #note(event: StreamEvent): void {
    switch (event.case) {
      case "started":
        this.id = event.value.id;
        this.model = event.value.model;
        break;
      case "prompt":
        for (const logprobs of event.value.logprobs) this.promptLogprobs.push(logprobs);
        break;
      case "finished":
        this.finished.push(event.value);
        break;
      case "summary":
        this.usage = event.value.usage;
        this.timings = event.value.timings;
        break;
      case "delta":
        break;
    }
  }
}
