package io.sluiceml.client;

import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.Metadata;
import io.grpc.Status;
import io.sluiceml.v1.GenerateRequest;
import io.sluiceml.v1.GenerateStreamResponse;
import io.sluiceml.v1.GenerateStreamResponse.EventCase;
import io.sluiceml.v1.InferenceServiceGrpc;
import java.util.Objects;
import java.util.concurrent.Flow;
import java.util.function.Supplier;

/**
 * The known events of a stream as a publisher. Each subscription is a call of its own, and its demand is gRPC's flow
 * control: what nobody has asked for stays in the server, where a slow reader gets fewer, longer deltas.
 */
final class EventPublisher implements Flow.Publisher<GenerateStreamResponse> {
  private final Channel channel;
  private final Supplier<CallOptions> options;
  private final GenerateRequest request;

  EventPublisher(Channel channel, Supplier<CallOptions> options, GenerateRequest request) {
    this.channel = channel;
    this.options = options;
    this.request = request;
  }

  @Override
  public void subscribe(Flow.Subscriber<? super GenerateStreamResponse> subscriber) {
    Objects.requireNonNull(subscriber);
    var call = channel.newCall(InferenceServiceGrpc.getGenerateStreamMethod(), options.get());
    var subscription = new Subscription(call, subscriber);
    subscriber.onSubscribe(subscription);
    subscription.start(request);
  }

  /**
   * One call. The subscriber hears from the call's executor, one signal after the other. What it says may come from any
   * thread, and before the call has started: the lock orders that, for a {@link ClientCall} takes one instruction at a
   * time.
   */
  private static final class Subscription extends ClientCall.Listener<GenerateStreamResponse> implements Flow.Subscription {
    private final ClientCall<GenerateRequest, GenerateStreamResponse> call;
    private final Flow.Subscriber<? super GenerateStreamResponse> subscriber;

    // Guarded by this.
    private boolean started;
    private long early; // what was asked for before the call had started

    private volatile boolean cancelled;
    private volatile boolean misused; // it was asked for less than one event
    private boolean summarised; // used by the call's executor alone

    Subscription(
        ClientCall<GenerateRequest, GenerateStreamResponse> call, Flow.Subscriber<? super GenerateStreamResponse> subscriber) {
      this.call = call;
      this.subscriber = subscriber;
    }

    void start(GenerateRequest request) {
      synchronized (this) {
        if (!cancelled && !misused) {
          started = true;
          call.start(this, new Metadata());
          call.sendMessage(request);
          call.halfClose();
          demand(early);
          return;
        }
      }
      onClose(Status.CANCELLED, new Metadata());
    }

    @Override
    public synchronized void request(long n) {
      if (n <= 0) {
        misused = true;
        end("the subscriber asked for less than one event");
      } else if (started) {
        demand(n);
      } else {
        early = n > Long.MAX_VALUE - early ? Long.MAX_VALUE : early + n;
      }
    }

    /** Asks gRPC, which counts in int: 2^31 events are more than an answer has. */
    private void demand(long n) {
      if (n > 0) {
        call.request((int) Math.min(n, Integer.MAX_VALUE));
      }
    }

    @Override
    public synchronized void cancel() {
      cancelled = true;
      end("the subscriber cancelled");
    }

    /** Ends the call, if it has started; otherwise it does not start. */
    private void end(String why) {
      if (started) {
        call.cancel(why, null);
      }
    }

    @Override
    public void onMessage(GenerateStreamResponse event) {
      if (cancelled || misused) {
        return;
      }
      if (event.getEventCase() == EventCase.EVENT_NOT_SET) { // of a newer server: does not count
        request(1);
        return;
      }
      summarised |= event.hasSummary();
      subscriber.onNext(event);
    }

    @Override
    public void onClose(Status status, Metadata trailers) {
      if (cancelled) {
        return;
      }
      if (misused) {
        subscriber.onError(new IllegalArgumentException("at least one event must be asked for (rule 3.9 of Reactive Streams)"));
      } else if (!status.isOk()) {
        subscriber.onError(new SluiceException(status.asRuntimeException(trailers)));
      } else if (!summarised) {
        subscriber.onError(new SluiceException(GenerateStream.NO_SUMMARY));
      } else {
        subscriber.onComplete();
      }
    }
  }
}
