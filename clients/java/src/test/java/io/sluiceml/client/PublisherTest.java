package io.sluiceml.client;

import static io.sluiceml.client.Scripted.delta;
import static io.sluiceml.client.Scripted.started;
import static io.sluiceml.client.Scripted.summary;

import io.grpc.Status;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import io.sluiceml.v1.GenerateRequest;
import io.sluiceml.v1.GenerateStreamResponse;
import java.util.concurrent.Flow;
import org.reactivestreams.tck.TestEnvironment;
import org.reactivestreams.tck.flow.FlowPublisherVerification;
import org.testng.annotations.AfterClass;
import org.testng.annotations.BeforeClass;

/**
 * The compatibility kit of Reactive Streams judges the publisher of a scripted server, which sends as many events as the
 * prompt says, with some between them that the client does not know.
 */
public class PublisherTest extends FlowPublisherVerification<GenerateStreamResponse> {
  /** Milliseconds: for a signal to come, and, shorter, for none to. */
  private static final TestEnvironment ENVIRONMENT = new TestEnvironment(5000, 200);

  private Scripted server;
  private SluiceClient client;

  public PublisherTest() {
    super(ENVIRONMENT);
  }

  @BeforeClass
  public void start() {
    server = new Scripted() {
      @Override
      void answer(StreamObserver<GenerateStreamResponse> to) {
        throw new UnsupportedOperationException();
      }

      @Override
      public void generateStream(GenerateRequest request, StreamObserver<GenerateStreamResponse> to) {
        long events = Long.parseLong(request.getPrompt());
        if (events < 0) {
          to.onError(Status.UNAVAILABLE.asException());
          return;
        }
        var call = (ServerCallStreamObserver<GenerateStreamResponse>) to;
        call.setOnReadyHandler(new Runnable() {
          private long sent;

          @Override
          public void run() {
            while (sent < events && call.isReady()) {
              call.onNext(GenerateStreamResponse.getDefaultInstance());
              call.onNext(++sent == events ? summary(1) : sent == 1 ? started("r1") : delta("x"));
              if (sent == events) {
                call.onCompleted();
              }
            }
          }
        });
      }
    };
    client = server.builder().retry(RetryPolicy.NONE).build();
  }

  @AfterClass
  public void stop() {
    client.close();
    server.close();
  }

  @Override
  public Flow.Publisher<GenerateStreamResponse> createFlowPublisher(long events) {
    return client.publisher(Requests.prompt(Long.toString(events)).build());
  }

  @Override
  public Flow.Publisher<GenerateStreamResponse> createFailedFlowPublisher() {
    return createFlowPublisher(-1);
  }
}
