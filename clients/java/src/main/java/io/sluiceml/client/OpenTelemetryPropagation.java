package io.sluiceml.client;

import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.ForwardingClientCall.SimpleForwardingClientCall;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.opentelemetry.api.OpenTelemetry;
import io.opentelemetry.context.Context;

/**
 * Sends OpenTelemetry's current context with every call, by the propagators of the application, so that the server's spans
 * become children of the span in which a call is made. A call with a {@code traceparent} of its own keeps that.
 *
 * <pre>{@code
 * SluiceClient.builder(target).intercept(new OpenTelemetryPropagation(GlobalOpenTelemetry.get())).build();
 * }</pre>
 *
 * <p>It needs {@code io.opentelemetry:opentelemetry-api}, which this library does not bring along.
 */
public final class OpenTelemetryPropagation implements ClientInterceptor {
  private final OpenTelemetry openTelemetry;

  /** Makes an interceptor for {@link SluiceClient.Builder#intercept}. */
  public OpenTelemetryPropagation(OpenTelemetry openTelemetry) {
    this.openTelemetry = openTelemetry;
  }

  @Override
  public <Q, R> ClientCall<Q, R> interceptCall(MethodDescriptor<Q, R> method, CallOptions options, Channel next) {
    return new SimpleForwardingClientCall<>(next.newCall(method, options)) {
      @Override
      public void start(Listener<R> listener, Metadata headers) {
        if (!headers.containsKey(Calls.TRACEPARENT)) {
          openTelemetry.getPropagators().getTextMapPropagator().inject(Context.current(), headers, (carrier, name, value) -> {
            Metadata.Key<String> key = Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER);
            carrier.discardAll(key);
            carrier.put(key, value);
          });
        }
        super.start(listener, headers);
      }
    };
  }
}
