import { Code, ConnectError } from "@connectrpc/connect";

import { failure, SluiceError } from "./errors.js";

/** Milliseconds by which a server may find a deadline to have passed before its client does: timeouts travel rounded. */
const clockSkewMs = 100;

/** The longest wait that setTimeout knows, 25 days; it takes a longer one for none. */
const longestTimerMs = 2 ** 31 - 1;

/** What may end a call before its answer: a time on the clock of `performance.now()` and the caller's signal. */
export class Limits {
  readonly #deadline: number;
  readonly #signal: AbortSignal;

  constructor(timeoutMs: number | undefined, signal: AbortSignal) {
    this.#deadline = timeoutMs === undefined ? Infinity : performance.now() + timeoutMs;
    this.#signal = signal;
  }

  /** Milliseconds that are left, perhaps below 0; Infinity without a timeout. */
  get leftMs(): number {
    return this.#deadline - performance.now();
  }

  /** The options of a call that begins now. Throws if none can. */
  callOptions(): { signal: AbortSignal; timeoutMs?: number } {
    this.check();
    // A timeout of 0 would mean none.
    return this.#deadline === Infinity
      ? { signal: this.#signal }
      : { signal: this.#signal, timeoutMs: Math.max(1, Math.ceil(this.leftMs)) };
  }

  /** Throws if the call has been cancelled or its deadline has passed. */
  check(): void {
    if (this.#signal.aborted) throw aborted(this.#signal.reason);
    if (this.leftMs <= 0) throw failure("DEADLINE_EXCEEDED", "the deadline passed");
  }

  /**
   * Gives an error of the transport its type.
   *
   * Server and client both watch the deadline. A server that is a moment earlier resets the stream, which the transport
   * reports as cancelled; that is the deadline all the same. A connection that fails, by a certificate for example, is
   * UNAVAILABLE with gRPC; some such faults the transport calls internal or aborted, and one that is closed while nobody
   * cancels (`closed`: not by its client either) it calls cancelled.
   */
  errorOf(error: unknown, closed: boolean): SluiceError {
    if (error instanceof SluiceError) return error;
    if (this.#signal.aborted) return aborted(this.#signal.reason);
    const wire = ConnectError.from(error);
    if (wire.code === Code.Canceled && this.leftMs < clockSkewMs) return new SluiceError(wire, "DEADLINE_EXCEEDED");
    if (wire.code === Code.Canceled && !closed && wire.rawMessage.startsWith("http/2 stream closed")) {
      return new SluiceError(wire, "UNAVAILABLE");
    }
    if ((wire.code === Code.Internal || wire.code === Code.Aborted) && ofNode(wire.cause)) {
      return new SluiceError(wire, "UNAVAILABLE");
    }
    return new SluiceError(wire);
  }

  /** Waits, 25 days at most; a cancel ends it with the error of the call. */
  async sleep(ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        this.#signal.removeEventListener("abort", wake);
        resolve();
      };
      const timer = setTimeout(wake, Math.min(ms, longestTimerMs));
      this.#signal.addEventListener("abort", wake);
      if (this.#signal.aborted) wake();
    });
    this.check();
  }
}

/** Says whether an error comes from Node's sockets, TLS or HTTP/2, which give theirs a code, rather than from a server. */
function ofNode(cause: unknown): boolean {
  return cause instanceof Error && "code" in cause && typeof cause.code === "string";
}

/** The error of a call whose signal was aborted: AbortSignal.timeout() is a deadline, anything else a cancel. */
function aborted(reason: unknown): SluiceError {
  return reason instanceof DOMException && reason.name === "TimeoutError"
    ? failure("DEADLINE_EXCEEDED", "the deadline passed", reason)
    : failure("CANCELLED", "the call was cancelled", reason);
}
