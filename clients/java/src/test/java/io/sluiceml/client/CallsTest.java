package io.sluiceml.client;

import static io.sluiceml.client.Scripted.delta;
import static io.sluiceml.client.Scripted.summary;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.Any;
import com.google.protobuf.Duration;
import com.google.protobuf.Message;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.ResourceInfo;
import com.google.rpc.RetryInfo;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.StreamObserver;
import io.opentelemetry.api.OpenTelemetry;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.SpanContext;
import io.opentelemetry.api.trace.TraceFlags;
import io.opentelemetry.api.trace.TraceState;
import io.opentelemetry.api.trace.propagation.W3CTraceContextPropagator;
import io.opentelemetry.context.propagation.ContextPropagators;
import io.sluiceml.v1.GenerateRequest;
import io.sluiceml.v1.GenerateStreamResponse;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;
import java.util.function.IntFunction;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Calls of a scripted server: errors, tries, headers, deadlines, futures. */
@Timeout(60)
class CallsTest {
  private static final GenerateRequest REQUEST = Requests.prompt("x").build();
  private static final RetryPolicy FAST = new RetryPolicy(4, java.time.Duration.ofMillis(1), java.time.Duration.ofMillis(1), 1);

  /** A server that refuses a try, counted from 1, with what a script gives for it, and answers "ok" where that is null. */
  private static Scripted refusing(IntFunction<StatusRuntimeException> script) {
    var tries = new AtomicInteger();
    return new Scripted() {
      @Override
      void answer(StreamObserver<GenerateStreamResponse> to) {
        // Not headers.size(): a call's headers may come long before its request has, and another's meanwhile.
        StatusRuntimeException refusal = script.apply(tries.incrementAndGet());
        if (refusal != null) {
          to.onError(refusal);
          return;
        }
        List.of(delta("o"), delta("k"), summary(2)).forEach(to::onNext);
        to.onCompleted();
      }
    };
  }

  private static StatusRuntimeException refusal(Status.Code code, Message... details) {
    var status = com.google.rpc.Status.newBuilder().setCode(code.value()).setMessage("no");
    for (Message detail : details) {
      status.addDetails(Any.pack(detail));
    }
    return StatusProto.toStatusRuntimeException(status.build());
  }

  private static SluiceException fails(Runnable call, Status.Code code) {
    SluiceException e = assertThrows(SluiceException.class, call::run);
    assertEquals(code, e.code(), e.getMessage());
    return e;
  }

  private static SluiceException failure(Status.Code code, Message... details) {
    try (var server = refusing(attempt -> refusal(code, details));
        var client = server.builder().retry(RetryPolicy.NONE).build()) {
      return fails(() -> client.generate(REQUEST), code);
    }
  }

  @Test
  void detailsOfErrors() {
    var violation = BadRequest.FieldViolation.newBuilder().setField("sampling.top_p").setDescription("above 1");
    var bad = failure(Status.Code.INVALID_ARGUMENT, BadRequest.newBuilder().addFieldViolations(violation).build());
    assertEquals(List.of(new FieldViolation("sampling.top_p", "above 1")), bad.fieldViolations());
    assertEquals(Optional.empty(), bad.retryAfter());
    assertEquals("INVALID_ARGUMENT: no", bad.getMessage());

    var full = failure(Status.Code.RESOURCE_EXHAUSTED,
        RetryInfo.newBuilder().setRetryDelay(Duration.newBuilder().setSeconds(1).setNanos(500_000_000)).build(),
        ErrorInfo.newBuilder().setReason("QUEUE_FULL").build());
    assertEquals(Optional.of(java.time.Duration.ofMillis(1500)), full.retryAfter());
    assertEquals("QUEUE_FULL", full.reason());

    var unknown = failure(Status.Code.NOT_FOUND, ResourceInfo.newBuilder().setResourceName("gpt-9").build());
    assertEquals("gpt-9", unknown.resource());
    assertEquals("", unknown.reason());
    assertEquals(List.of(), unknown.fieldViolations());
    assertInstanceOf(StatusRuntimeException.class, unknown.getCause());
  }

  @Test
  void detailsThatCannotBeReadAreAbsent() {
    var status = com.google.rpc.Status.newBuilder().setCode(Status.Code.INTERNAL.value());
    status.addDetailsBuilder().setTypeUrl("type.googleapis.com/google.rpc.ErrorInfo")
        .setValue(com.google.protobuf.ByteString.copyFromUtf8("\u0007"));
    var e = new SluiceException(StatusProto.toStatusRuntimeException(status.build()));
    assertEquals("", e.reason());
    assertEquals("INTERNAL", e.getMessage());
  }

  @Test
  void whatIsUnavailableIsTriedAgain() {
    try (var server = refusing(attempt -> attempt % 3 == 0 ? null : refusal(Status.Code.UNAVAILABLE));
        var client = server.builder().retry(FAST).build()) {
      assertEquals("ok", client.generate(REQUEST).getOutputs(0).getText());
      assertEquals(3, server.headers.size());
      assertEquals("ok", client.stream(REQUEST).read());
      assertEquals(6, server.headers.size());
      assertEquals("ok", client.generateAsync(REQUEST).join().getOutputs(0).getText());
      assertEquals(9, server.headers.size());
    }
  }

  private static int attempts(RetryPolicy policy, Status.Code code, Message... details) {
    try (var server = refusing(attempt -> refusal(code, details)); var client = server.builder().retry(policy).build()) {
      fails(() -> client.generate(REQUEST), code);
      return server.headers.size();
    }
  }

  @Test
  void asOftenAsThePolicySays() {
    assertEquals(4, attempts(FAST, Status.Code.UNAVAILABLE));
    var two = new RetryPolicy(2, FAST.initialBackoff(), FAST.maxBackoff(), 1);
    assertEquals(2, attempts(two, Status.Code.UNAVAILABLE));
    var seven = new RetryPolicy(7, FAST.initialBackoff(), FAST.maxBackoff(), 1); // gRPC's own limit is 5
    assertEquals(7, attempts(seven, Status.Code.UNAVAILABLE));
    assertEquals(1, attempts(RetryPolicy.NONE, Status.Code.UNAVAILABLE));
    for (var code : List.of(
        Status.Code.INVALID_ARGUMENT, Status.Code.INTERNAL, Status.Code.ABORTED, Status.Code.RESOURCE_EXHAUSTED)) {
      assertEquals(1, attempts(FAST, code));
    }
    var full = new RetryPolicy(
        3, FAST.initialBackoff(), FAST.maxBackoff(), 1, Set.of(Status.Code.RESOURCE_EXHAUSTED));
    assertEquals(3, attempts(full, Status.Code.RESOURCE_EXHAUSTED));
    assertEquals(1, attempts(full, Status.Code.UNAVAILABLE));
  }

  @Test
  void waitsAreTheSameInEveryLocale() {
    Locale before = Locale.getDefault();
    Locale.setDefault(Locale.forLanguageTag("fa-IR"));
    try {
      assertEquals("۱", "%d".formatted(1), "the locale has no digits of its own");
      assertEquals(4, attempts(FAST, Status.Code.UNAVAILABLE));
    } finally {
      Locale.setDefault(before);
    }
  }

  @Test
  void largeRequestsAreTriedAgain() throws Exception {
    // Nearly what the server takes; gRPC's own limit is 1 MiB of a call and 16 MiB of a channel.
    var large = Requests.prompt("x".repeat((16 << 20) - 1000)).build();
    try (var server = refusing(attempt -> attempt <= 2 ? refusal(Status.Code.UNAVAILABLE) : null);
        var client = server.builder().retry(FAST).build()) {
      var both = List.of(client.generateAsync(large), client.generateAsync(large));
      for (var answer : both) {
        assertEquals("ok", answer.get().getOutputs(0).getText());
      }
      assertEquals(4, server.headers.size());
    }
  }

  @Test
  void policiesThatAreNone() {
    var second = java.time.Duration.ofSeconds(1);
    assertThrows(IllegalArgumentException.class, () -> new RetryPolicy(0, second, second, 2));
    assertThrows(IllegalArgumentException.class, () -> new RetryPolicy(2, java.time.Duration.ZERO, second, 2));
    assertThrows(IllegalArgumentException.class, () -> new RetryPolicy(2, second, second, Double.NaN));
    assertThrows(IllegalArgumentException.class, () -> new RetryPolicy(2, second, second, 2, Set.of()));
  }

  @Test
  void whatHasBegunIsNotTriedAgain() {
    try (var server = new Scripted() {
          @Override
          void answer(StreamObserver<GenerateStreamResponse> to) {
            to.onNext(delta("half"));
            to.onError(refusal(Status.Code.UNAVAILABLE));
          }
        };
        var client = server.builder().retry(FAST).build();
        var stream = client.stream(REQUEST)) {
      assertEquals("half", stream.iterator().next().getText());
      fails(stream::read, Status.Code.UNAVAILABLE);
      assertEquals(1, server.headers.size());
    }
  }

  @Test
  void nobodyThere() {
    try (var client = SluiceClient.builder("127.0.0.1:1").retry(FAST).build()) {
      var e = fails(client::models, Status.Code.UNAVAILABLE);
      assertTrue(e.getMessage().contains("Connection refused"), e.getMessage());
    }
  }

  private static String header(Metadata headers, String name) {
    return headers.get(Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER));
  }

  @Test
  void headersReachTheServer() {
    try (var server = Scripted.sending(summary(0)); var client = server.builder().apiKey("secret").build()) {
      client.withTraceparent("00-a-b-01").withHeader("x-more", "1").generate(REQUEST);
      client.stream(REQUEST).read();
      var first = server.headers.get(0);
      assertEquals("Bearer secret", header(first, "authorization"));
      assertEquals("00-a-b-01", header(first, "traceparent"));
      assertEquals("1", header(first, "x-more"));
      assertEquals("Bearer secret", header(server.headers.get(1), "authorization"));
      assertEquals(null, header(server.headers.get(1), "traceparent"));
    }
  }

  @Test
  void openTelemetrysContextReachesTheServer() {
    var openTelemetry = OpenTelemetry.propagating(ContextPropagators.create(W3CTraceContextPropagator.getInstance()));
    String trace = "0af7651916cd43dd8448eb211c80319c";
    var span = Span.wrap(SpanContext.create(trace, "b7ad6b7169203331", TraceFlags.getSampled(), TraceState.getDefault()));
    try (var server = Scripted.sending(summary(0));
        var client = server.builder().intercept(new OpenTelemetryPropagation(openTelemetry)).build()) {
      try (var scope = span.makeCurrent()) {
        client.generate(REQUEST);
        client.withTraceparent("00-a-b-01").generate(REQUEST);
      }
      client.generate(REQUEST);
      var sent = server.headers.stream().map(headers -> Optional.ofNullable(header(headers, "traceparent"))).toList();
      var own = Optional.of("00-" + trace + "-b7ad6b7169203331-01");
      assertEquals(List.of(own, Optional.of("00-a-b-01"), Optional.empty()), sent);
    }
  }

  @Test
  void deadlines() throws Exception {
    try (var server = Scripted.endless(); var client = server.builder().timeout(java.time.Duration.ofSeconds(1)).build()) {
      fails(client.withTimeout(java.time.Duration.ofMinutes(1))::models, Status.Code.UNIMPLEMENTED); // connects
      fails(() -> client.generate(REQUEST), Status.Code.DEADLINE_EXCEEDED);
      assertTrue(server.headers.get(0).keys().contains("grpc-timeout"), "the server does not know the deadline");
      server.gone.await();
      fails(() -> client.stream(REQUEST).read(), Status.Code.DEADLINE_EXCEEDED);
      fails(() -> client.withTimeout(java.time.Duration.ZERO).generate(REQUEST), Status.Code.DEADLINE_EXCEEDED);
    }
    // No wait between tries goes beyond it.
    var slow = new RetryPolicy(2, java.time.Duration.ofHours(1), java.time.Duration.ofHours(1), 1);
    try (var server = refusing(attempt -> refusal(Status.Code.UNAVAILABLE));
        var client = server.builder().retry(slow).timeout(java.time.Duration.ofMillis(200)).build()) {
      fails(() -> client.generate(REQUEST), Status.Code.DEADLINE_EXCEEDED);
    }
  }

  @Test
  void futures() throws Exception {
    try (var server = refusing(attempt -> refusal(Status.Code.INTERNAL)); var client = server.client()) {
      var e = assertThrows(CompletionException.class, () -> client.generateAsync(REQUEST).join());
      assertEquals(Status.Code.INTERNAL, assertInstanceOf(SluiceException.class, e.getCause()).code());
    }
    for (Consumer<CompletableFuture<?>> end : List.<Consumer<CompletableFuture<?>>>of(
        future -> future.cancel(true), future -> future.orTimeout(1, TimeUnit.MILLISECONDS))) {
      try (var server = Scripted.endless(); var client = server.client()) {
        var future = client.generateAsync(REQUEST);
        server.asked.await();
        end.accept(future);
        server.gone.await(); // the call has ended too
        assertTrue(future.isCompletedExceptionally());
      }
    }
  }

  @Test
  void largeAnswers() {
    String want = "x".repeat(5 << 20); // gRPC's own limit is 4 MiB
    try (var server = Scripted.sending(delta(want), summary(1)); var client = server.client()) {
      assertTrue(client.generate(REQUEST).getOutputs(0).getText().equals(want));
    }
  }

  @Test
  void closingEndsWhatRuns() throws Exception {
    try (var server = Scripted.endless()) {
      var client = server.client();
      var stream = client.stream(REQUEST);
      stream.iterator().next();
      client.close();
      fails(stream::read, Status.Code.UNAVAILABLE);
      server.gone.await();
    }
  }

  @Test
  void closingLeavesAChannelOfTheCallersOpen() {
    try (var server = Scripted.sending(delta("a"), summary(1)); var owner = server.client()) {
      SluiceClient.over(owner.channel()).close();
      assertEquals("a", owner.stream(REQUEST).read());
    }
  }

  @Test
  void interceptorsAndWhatElseChannelsHave() {
    try (var server = Scripted.sending(summary(0));
        var client = server.builder().keepAlive(java.time.Duration.ofMinutes(1), java.time.Duration.ofSeconds(5))
            .configure(channel -> channel.userAgent("mine")).build()) {
      client.generate(REQUEST);
      assertTrue(header(server.headers.get(0), "user-agent").startsWith("mine"));
    }
  }
}
