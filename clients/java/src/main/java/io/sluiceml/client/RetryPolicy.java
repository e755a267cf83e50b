package io.sluiceml.client;

import io.grpc.Status;
import io.sluiceml.v1.InferenceServiceGrpc;
import io.sluiceml.v1.ModelServiceGrpc;
import io.sluiceml.v1.TokenizerServiceGrpc;
import java.time.Duration;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;

/**
 * How often and when a call is tried again. The names are those of gRPC's service config, of which this becomes a part. By
 * default what is {@code UNAVAILABLE} is: the server cannot be reached, drains or loads. Generating the same once more does no
 * harm; what has begun to answer is never tried again, nor is loading or unloading a model. What is {@code RESOURCE_EXHAUSTED}
 * is left to the caller, who knows whether to wait as long as the server asks ({@link SluiceException#retryAfter}).
 *
 * @param maxAttempts tries in all, the first one included; 1: never again
 * @param initialBackoff wait before the second try, give or take a fifth so that clients do not come back together
 * @param maxBackoff longest wait that is not the server's own wish
 * @param backoffMultiplier what the wait is multiplied by from try to try
 * @param retryableStatusCodes which failures are tried again. {@code RESOURCE_EXHAUSTED}, a full queue or a spent quota, wants a longer
 *     backoff than the default: the server says by {@link SluiceException#retryAfter} when there will be room, and the policy does
 *     not read that
 */
public record RetryPolicy(int maxAttempts, Duration initialBackoff, Duration maxBackoff, double backoffMultiplier,
    Set<Status.Code> retryableStatusCodes) {
  /** What holds unless the client is told otherwise: 4 tries of what is unavailable, after 0.2 s, 0.4 s and 0.8 s. */
  public static final RetryPolicy DEFAULT = new RetryPolicy(4, Duration.ofMillis(200), Duration.ofSeconds(5), 2);

  /** Never again. */
  public static final RetryPolicy NONE = new RetryPolicy(1, Duration.ofMillis(200), Duration.ofSeconds(5), 2);

  /**
   * Checks the numbers.
   *
   * @throws IllegalArgumentException if a number is not above 0, or no code is to be tried again
   */
  public RetryPolicy {
    if (maxAttempts < 1 || !positive(initialBackoff) || !positive(maxBackoff) || !(backoffMultiplier > 0)) {
      throw new IllegalArgumentException("the numbers of a retry policy must be above 0");
    }
    retryableStatusCodes = Set.copyOf(retryableStatusCodes);
    if (retryableStatusCodes.isEmpty() || retryableStatusCodes.contains(Status.Code.OK)) {
      throw new IllegalArgumentException("what a retry policy tries again is one failure or more");
    }
  }

  /** A policy for what is {@code UNAVAILABLE}. */
  public RetryPolicy(int maxAttempts, Duration initialBackoff, Duration maxBackoff, double backoffMultiplier) {
    this(maxAttempts, initialBackoff, maxBackoff, backoffMultiplier, Set.of(Status.Code.UNAVAILABLE));
  }

  private static boolean positive(Duration duration) {
    return duration.compareTo(Duration.ZERO) > 0;
  }

  /** The policy as a service config, as gRPC takes it: JSON of maps, lists, texts and doubles. */
  Map<String, Object> serviceConfig() {
    List<Map<String, String>> again = List.of(
        Map.of("service", InferenceServiceGrpc.SERVICE_NAME),
        Map.of("service", TokenizerServiceGrpc.SERVICE_NAME),
        method("ListModels"), method("GetModel"));
    Map<String, Object> policy = Map.of(
        "maxAttempts", (double) maxAttempts,
        "initialBackoff", seconds(initialBackoff),
        "maxBackoff", seconds(maxBackoff),
        "backoffMultiplier", backoffMultiplier,
        "retryableStatusCodes", retryableStatusCodes.stream().map(Status.Code::name).toList());
    return Map.of("methodConfig", List.of(Map.of("name", again, "retryPolicy", policy)));
  }

  private static Map<String, String> method(String ofModels) {
    return Map.of("service", ModelServiceGrpc.SERVICE_NAME, "method", ofModels);
  }

  /** A duration as JSON has it, whatever digits the locale has. */
  private static String seconds(Duration duration) {
    return String.format(Locale.ROOT, "%d.%09ds", duration.toSeconds(), duration.getNano());
  }
}
