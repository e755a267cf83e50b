package io.sluiceml.client;

import static io.sluiceml.client.Scripted.delta;
import static io.sluiceml.client.Scripted.started;
import static io.sluiceml.client.Scripted.summary;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.grpc.Status;
import io.grpc.stub.StreamObserver;
import io.sluiceml.v1.Delta;
import io.sluiceml.v1.GenerateRequest;
import io.sluiceml.v1.GenerateStreamResponse;
import io.sluiceml.v1.GenerateStreamResponse.EventCase;
import io.sluiceml.v1.PromptPart;
import io.sluiceml.v1.TokenLogprobs;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Streams of a scripted server. */
@Timeout(60)
class StreamTest {
  private static final GenerateRequest REQUEST = Requests.prompt("Two rivers:").build();
  private static final GenerateStreamResponse FUTURE = GenerateStreamResponse.getDefaultInstance();

  private static SluiceException fails(Runnable call, Status.Code code) {
    SluiceException e = assertThrows(SluiceException.class, call::run);
    assertEquals(code, e.code(), e.getMessage());
    return e;
  }

  @Test
  void deltasAndWhatTheStreamSaysBesides() {
    try (var server = Scripted.sending(started("r1"), delta("Rhine, "), FUTURE, delta("Rhône"), summary(5));
        var client = server.client();
        var stream = client.stream(REQUEST)) {
      assertThrows(IllegalStateException.class, stream::usage);
      List<String> texts = new ArrayList<>();
      for (Delta delta : stream) {
        texts.add(delta.getText());
        assertEquals("r1", stream.id());
      }
      assertEquals(List.of("Rhine, ", "Rhône"), texts);
      assertTrue(stream.complete());
      assertEquals(5, stream.usage().getCompletionTokens());
      assertFalse(stream.iterator().hasNext(), "a stream goes on after its end");
    }
  }

  @Test
  void eventsLeaveOutUnknownOnes() {
    var part = GenerateStreamResponse.newBuilder()
        .setPrompt(PromptPart.newBuilder().addLogprobs(TokenLogprobs.getDefaultInstance())).build();
    try (var server = Scripted.sending(started("r1"), FUTURE, part, part, delta("a"), summary(1));
        var client = server.client();
        var stream = client.stream(REQUEST)) {
      List<EventCase> kinds = new ArrayList<>();
      stream.events().forEachRemaining(event -> kinds.add(event.getEventCase()));
      assertEquals(List.of(EventCase.STARTED, EventCase.PROMPT, EventCase.PROMPT, EventCase.DELTA, EventCase.SUMMARY), kinds);
      assertEquals(2, stream.promptLogprobs().size());
    }
  }

  @Test
  void aReaderGoesOnWhereAnotherHasStopped() {
    try (var server = Scripted.sending(started("r1"), delta("a"), delta("b"), summary(2));
        var client = server.client();
        var stream = client.stream(REQUEST)) {
      assertEquals("a", stream.iterator().next().getText());
      assertEquals("b", stream.read());
    }
  }

  @Test
  void endingWithoutASummaryIsAFault() {
    try (var server = Scripted.sending(started("r1"), delta("half"));
        var client = server.client();
        var stream = client.stream(REQUEST)) {
      assertEquals("half", stream.iterator().next().getText());
      fails(stream::read, Status.Code.INTERNAL);
      assertFalse(stream.complete());
    }
  }

  @Test
  void aFailureKeepsWhatCameBefore() {
    try (var server = new Scripted() {
          @Override
          void answer(StreamObserver<GenerateStreamResponse> to) {
            to.onNext(started("r1"));
            to.onNext(delta("half"));
            to.onError(Status.INTERNAL.withDescription("a fault").asException());
          }
        };
        var client = server.client();
        var stream = client.stream(REQUEST)) {
      List<String> texts = new ArrayList<>();
      var e = fails(() -> stream.texts().forEach(texts::add), Status.Code.INTERNAL);
      assertEquals("INTERNAL: a fault", e.getMessage());
      assertEquals("a fault", e.description());
      assertEquals(List.of("half"), texts);
      assertEquals("r1", stream.id());
      fails(stream::read, Status.Code.INTERNAL); // and does not seem to have ended well
    }
  }

  @Test
  void leavingTheBlockCancels() throws Exception {
    try (var server = Scripted.endless(); var client = server.client()) {
      try (var stream = client.stream(REQUEST)) {
        for (Delta delta : stream) {
          assertEquals("x", delta.getText());
          break;
        }
      }
      server.gone.await();
    }
  }

  @Test
  void closingAJavaStreamCancels() throws Exception {
    try (var server = Scripted.endless(); var client = server.client()) {
      try (var texts = client.stream(REQUEST).texts()) {
        assertEquals(3, texts.limit(3).count());
      }
      server.gone.await();
    }
  }

  @Test
  void anotherThreadCancels() throws Exception {
    try (var server = Scripted.endless(); var client = server.client(); var stream = client.stream(REQUEST)) {
      stream.iterator().next();
      Thread other = new Thread(stream::cancel);
      other.start();
      fails(stream::read, Status.Code.CANCELLED);
      other.join();
      server.gone.await();
    }
  }

  @Test
  void interruptingTheReaderCancels() throws Exception {
    try (var server = Scripted.endless(); var client = server.client(); var stream = client.stream(REQUEST)) {
      stream.iterator().next();
      Thread.currentThread().interrupt();
      fails(stream::read, Status.Code.CANCELLED);
      assertTrue(Thread.interrupted(), "the interruption is forgotten");
      server.gone.await();
    }
  }

  @Test
  void cancellingTheCallersContextCancels() throws Exception {
    try (var server = Scripted.endless(); var client = server.client()) {
      var context = io.grpc.Context.current().withCancellation();
      context.run(() -> {
        try (var stream = client.stream(REQUEST)) {
          stream.iterator().next();
          context.cancel(null);
          fails(stream::read, Status.Code.CANCELLED);
        }
      });
      server.gone.await();
    }
  }
}
