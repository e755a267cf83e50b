package io.sluiceml.client;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.ResourceInfo;
import com.google.rpc.RetryInfo;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.time.Duration;
import java.util.List;
import java.util.Optional;

/**
 * A failed call: the server's status with its details, or gRPC's own.
 *
 * <p>The cause is gRPC's {@link StatusRuntimeException}, for details that have no method here.
 */
public final class SluiceException extends RuntimeException {
  private static final long serialVersionUID = 1;

  private final Status.Code code;
  private final String description;
  private final List<FieldViolation> fieldViolations;
  private final Duration retryAfter;
  private final String reason;
  private final String resource;

  SluiceException(StatusRuntimeException cause) {
    super(message(cause.getStatus()), cause);
    code = cause.getStatus().getCode();
    description = description(cause.getStatus());
    List<Any> details = Optional.ofNullable(StatusProto.fromThrowable(cause))
        .map(com.google.rpc.Status::getDetailsList).orElse(List.of());
    fieldViolations = detail(details, BadRequest.class).map(BadRequest::getFieldViolationsList).orElse(List.of()).stream()
        .map(violation -> new FieldViolation(violation.getField(), violation.getDescription())).toList();
    retryAfter = detail(details, RetryInfo.class).filter(RetryInfo::hasRetryDelay).map(RetryInfo::getRetryDelay)
        .map(delay -> Duration.ofSeconds(delay.getSeconds(), delay.getNanos())).orElse(null);
    reason = detail(details, ErrorInfo.class).map(ErrorInfo::getReason).orElse("");
    resource = detail(details, ResourceInfo.class).map(ResourceInfo::getResourceName).orElse("");
  }

  SluiceException(Status status) {
    this(status.asRuntimeException());
  }

  /** Returns the status code. */
  public Status.Code code() {
    return code;
  }

  /** Returns the server's text, without the code that {@link #getMessage} begins with. */
  public String description() {
    return description;
  }

  /** Returns the fields of the request that an {@code INVALID_ARGUMENT} is about. */
  public List<FieldViolation> fieldViolations() {
    return fieldViolations;
  }

  /** Returns how long the server asks to wait before the next try, if it says so. */
  public Optional<Duration> retryAfter() {
    return Optional.ofNullable(retryAfter);
  }

  /** Returns the machine-readable reason that the server gave, such as {@code QUEUE_FULL}, or an empty text. */
  public String reason() {
    return reason;
  }

  /** Returns the name of the resource that a {@code NOT_FOUND} is about, such as a model's, or an empty text. */
  public String resource() {
    return resource;
  }

  private static String message(Status status) {
    String description = description(status);
    return description.isEmpty() ? status.getCode().name() : status.getCode() + ": " + description;
  }

  /** The description; for what gRPC itself finds, such as "io exception", with what is at the bottom of it. */
  private static String description(Status status) {
    String said = status.getDescription() == null ? "" : status.getDescription();
    Throwable root = status.getCause();
    if (root == null) {
      return said;
    }
    while (root.getCause() != null) {
      root = root.getCause();
    }
    // The other lines tell of the inside of a channel.
    String first = said.lines().findFirst().map(line -> line + ": ").orElse("");
    return first + (root.getMessage() == null ? root : root.getMessage());
  }

  /** The first detail of a type; one that cannot be read counts as absent. */
  private static <T extends Message> Optional<T> detail(List<Any> details, Class<T> type) {
    for (Any detail : details) {
      if (detail.is(type)) {
        try {
          return Optional.of(detail.unpack(type));
        } catch (InvalidProtocolBufferException e) {
          return Optional.empty();
        }
      }
    }
    return Optional.empty();
  }
}
