package io.sluiceml.client;

import io.grpc.Status;
import io.sluiceml.v1.InferenceServiceGrpc;
import io.sluiceml.v1.ModelServiceGrpc;
import io.sluiceml.v1.TokenizerServiceGrpc;
import java.time.Duration;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/**
 * How often and when a call that is {@code UNAVAILABLE} is tried again: the server cannot be reached, drains or loads. The
 * names are those of gRPC's service config, of which this becomes a part. Generating the same once more does no harm; what
 * has begun to answer is never tried again, nor is loading or unloading a model.
 *
 * @param maxAttempts tries in all, the first one included; 1: never again
 * @param initialBackoff wait before the second try, give or take a fifth so that clients do not come back together
 * @param maxBackoff longest wait
 * @param backoffMultiplier what the wait is multiplied by from try to try
 */
public record RetryPolicy(int maxAttempts, Duration initialBackoff, Duration maxBackoff, double backoffMultiplier) {
  /** What holds unless the client is told otherwise: 4 tries, after 0.2 s, 0.4 s and 0.8 s. */
  public static final RetryPolicy DEFAULT = new RetryPolicy(4, Duration.ofMillis(200), Duration.ofSeconds(5), 2);

  /** Never again. */
  public static final RetryPolicy NONE = new RetryPolicy(1, Duration.ofMillis(200), Duration.ofSeconds(5), 2);

  /**
   * Checks the numbers.
   *
   * @throws IllegalArgumentException if a number is not above 0
   */
  public RetryPolicy {
    if (maxAttempts < 1 || !positive(initialBackoff) || !positive(maxBackoff) || !(backoffMultiplier > 0)) {
      throw new IllegalArgumentException("the numbers of a retry policy must be above 0");
    }
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
        "retryableStatusCodes", List.of(Status.Code.UNAVAILABLE.name()));
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
