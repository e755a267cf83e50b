import type { Limits } from "./deadline.js";
import type { SluiceError, StatusCode } from "./errors.js";

/** How often and when a call is tried again: names and meaning are those of gRPC's service config (gRFC A6). */
export interface RetryPolicy {
  /** Tries in all, the first one included. */
  readonly maxAttempts: number;
  /** Milliseconds before the second try, give or take a fifth so that clients do not come back together. */
  readonly initialBackoffMs: number;
  /** Longest wait that is not the server's own wish. */
  readonly maxBackoffMs: number;
  /** What the wait is multiplied by from try to try. */
  readonly backoffMultiplier: number;
  /**
   * Which failures are tried again. RESOURCE_EXHAUSTED, a full queue or a spent quota, wants a longer backoff than the default:
   * the server says by `retryAfterMs` when there will be room, and the policy does not read that.
   */
  readonly retryableStatusCodes: readonly StatusCode[];
}

/** What holds unless the client is told otherwise. */
export const defaultRetryPolicy: RetryPolicy = {
  maxAttempts: 4,
  initialBackoffMs: 200,
  maxBackoffMs: 5000,
  backoffMultiplier: 2,
  retryableStatusCodes: ["UNAVAILABLE"],
};

/**
 * The waits between the tries of one call. By default a call is tried again when the server cannot be reached, drains or
 * loads (UNAVAILABLE). Generating the same once more does no harm; what has sent its first event is never tried again.
 * What is RESOURCE_EXHAUSTED is left to the caller, who knows whether to wait as long as the server asks.
 */
export class Backoff {
  readonly #policy: RetryPolicy;
  #attempt = 1;
  /** Tries since the server last said when; the backoff grows with them. */
  #unasked = 0;

  constructor(policy: RetryPolicy) {
    this.#policy = policy;
  }

  /** Tries that were made before the one that comes next. */
  get previousAttempts(): number {
    return this.#attempt - 1;
  }

  /** Waits for the next try. Throws the error instead if there is none, or none before the deadline. */
  async next(error: SluiceError, limits: Limits): Promise<void> {
    const { maxAttempts, initialBackoffMs, maxBackoffMs, backoffMultiplier, retryableStatusCodes } = this.#policy;
    const pushback = error.pushbackMs;
    if (!retryableStatusCodes.includes(error.code) || this.#attempt >= maxAttempts || pushback === "never") throw error;
    const backoff = Math.min(maxBackoffMs, initialBackoffMs * backoffMultiplier ** this.#unasked);
    const wait = pushback ?? backoff * (0.8 + Math.random() * 0.4);
    if (wait >= limits.leftMs) throw error;
    this.#unasked = pushback === undefined ? this.#unasked + 1 : 0;
    this.#attempt++;
    await limits.sleep(wait);
  }
}
