import type { Limits } from "./deadline.js";
import type { SluiceError } from "./errors.js";

/** How often and when a call is tried again. The names are those of gRPC's service config. */
export interface RetryPolicy {
  /** Tries in all, the first one included. */
  readonly maxAttempts: number;
  /** Milliseconds before the second try, give or take a fifth so that clients do not come back together. */
  readonly initialBackoffMs: number;
  /** Longest wait. A server that asks for a longer one is not asked again. */
  readonly maxBackoffMs: number;
  /** What the wait is multiplied by from try to try. */
  readonly backoffMultiplier: number;
}

/** What holds unless the client is told otherwise. */
export const defaultRetryPolicy: RetryPolicy = {
  maxAttempts: 4,
  initialBackoffMs: 200,
  maxBackoffMs: 5000,
  backoffMultiplier: 2,
};

/**
 * The waits between the tries of one call. A call is tried again when the server cannot be reached, drains or loads
 * (UNAVAILABLE), and when it is full and says when to come back (RESOURCE_EXHAUSTED with RetryInfo). Generating the same
 * once more does no harm; what has sent its first event is never tried again.
 */
export class Backoff {
  readonly #policy: RetryPolicy;
  #attempt = 1;

  constructor(policy: RetryPolicy) {
    this.#policy = policy;
  }

  /** Waits for the next try. Throws the error instead if there is none, or none before the deadline. */
  async next(error: SluiceError, limits: Limits): Promise<void> {
    const { maxAttempts, initialBackoffMs, maxBackoffMs, backoffMultiplier } = this.#policy;
    const asked = error.retryAfterMs ?? 0;
    const retryable =
      error.code === "UNAVAILABLE" || (error.code === "RESOURCE_EXHAUSTED" && error.retryAfterMs !== undefined);
    if (!retryable || this.#attempt >= maxAttempts || asked > maxBackoffMs) throw error;
    const backoff = Math.min(maxBackoffMs, initialBackoffMs * backoffMultiplier ** (this.#attempt - 1));
    // Never before the time that the server asks for.
    const wait = Math.max(asked, backoff * 0.8) + Math.random() * 0.4 * backoff;
    if (wait >= limits.leftMs) throw error;
    this.#attempt++;
    await limits.sleep(wait);
  }
}
