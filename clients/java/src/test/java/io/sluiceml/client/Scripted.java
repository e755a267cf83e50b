package io.sluiceml.client;

import io.grpc.Grpc;
import io.grpc.InsecureServerCredentials;
import io.grpc.Metadata;
import io.grpc.Server;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import io.sluiceml.v1.Delta;
import io.sluiceml.v1.GenerateRequest;
import io.sluiceml.v1.GenerateResponse;
import io.sluiceml.v1.GenerateStreamResponse;
import io.sluiceml.v1.InferenceServiceGrpc;
import io.sluiceml.v1.Started;
import io.sluiceml.v1.Summary;
import io.sluiceml.v1.Usage;
import java.io.IOException;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;

/** A server whose answers a test writes, for what the real one does not do on demand. */
abstract class Scripted extends InferenceServiceGrpc.InferenceServiceImplBase implements AutoCloseable {
  private final Server server;

  /** The headers of the calls that came. */
  final List<Metadata> headers = new CopyOnWriteArrayList<>();

  /** Falls when {@link #endless} has got a unary call. */
  final CountDownLatch asked = new CountDownLatch(1);

  /** Falls when a call that {@link #endless} answers is cancelled. */
  final CountDownLatch gone = new CountDownLatch(1);

  Scripted() {
    try {
      server = Grpc.newServerBuilderForPort(0, InsecureServerCredentials.create())
          .maxInboundMessageSize(16 << 20)
          .addService(this)
          .intercept(new ServerInterceptor() {
            @Override
            public <Q, R> ServerCall.Listener<Q> interceptCall(
                ServerCall<Q, R> call, Metadata with, ServerCallHandler<Q, R> next) {
              headers.add(with);
              return next.startCall(call, with);
            }
          })
          .build().start();
    } catch (IOException e) {
      throw new AssertionError(e);
    }
  }

  /** Gives the events of an answer, to both Generates. */
  abstract void answer(StreamObserver<GenerateStreamResponse> to);

  @Override
  public void generateStream(GenerateRequest request, StreamObserver<GenerateStreamResponse> to) {
    answer(to);
  }

  /** Joins what {@link #answer} says. */
  @Override
  public void generate(GenerateRequest request, StreamObserver<GenerateResponse> to) {
    StringBuilder text = new StringBuilder();
    answer(new StreamObserver<>() {
      @Override
      public void onNext(GenerateStreamResponse event) {
        text.append(event.getDelta().getText());
      }

      @Override
      public void onError(Throwable failure) {
        to.onError(failure);
      }

      @Override
      public void onCompleted() {
        var response = GenerateResponse.newBuilder();
        response.addOutputsBuilder().setText(text.toString());
        to.onNext(response.build());
        to.onCompleted();
      }
    });
  }

  SluiceClient.Builder builder() {
    return SluiceClient.builder("127.0.0.1:" + server.getPort());
  }

  SluiceClient client() {
    return builder().build();
  }

  @Override
  public void close() {
    server.shutdownNow();
  }

  /** A server that sends events and ends in good order. */
  static Scripted sending(GenerateStreamResponse... events) {
    return new Scripted() {
      @Override
      void answer(StreamObserver<GenerateStreamResponse> to) {
        List.of(events).forEach(to::onNext);
        to.onCompleted();
      }
    };
  }

  /** A server that sends deltas as they are taken, until its call is cancelled. */
  static Scripted endless() {
    return new Scripted() {
      @Override
      void answer(StreamObserver<GenerateStreamResponse> to) {
        var call = (ServerCallStreamObserver<GenerateStreamResponse>) to;
        call.setOnCancelHandler(gone::countDown);
        call.setOnReadyHandler(() -> {
          while (call.isReady() && !call.isCancelled()) {
            call.onNext(delta("x"));
          }
        });
      }

      @Override
      public void generate(GenerateRequest request, StreamObserver<GenerateResponse> to) {
        ((ServerCallStreamObserver<GenerateResponse>) to).setOnCancelHandler(gone::countDown);
        asked.countDown();
      }
    };
  }

  static GenerateStreamResponse started(String id) {
    return GenerateStreamResponse.newBuilder().setStarted(Started.newBuilder().setId(id)).build();
  }

  static GenerateStreamResponse delta(String text) {
    return GenerateStreamResponse.newBuilder().setDelta(Delta.newBuilder().setText(text)).build();
  }

  static GenerateStreamResponse summary(int tokens) {
    var usage = Usage.newBuilder().setCompletionTokens(tokens);
    return GenerateStreamResponse.newBuilder().setSummary(Summary.newBuilder().setUsage(usage)).build();
  }
}
