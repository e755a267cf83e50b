package io.sluiceml.client;

import io.grpc.StatusRuntimeException;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.ClientResponseObserver;
import java.util.concurrent.CompletableFuture;

/**
 * A call of one answer as a future: whoever completes the future before the call does, by cancelling it or a timeout,
 * cancels it.
 */
final class UnaryFuture<Q, R> extends CompletableFuture<R> implements ClientResponseObserver<Q, R> {
  private R response;

  @Override
  public void beforeStart(ClientCallStreamObserver<Q> call) {
    whenComplete((response, failure) -> call.cancel("the future is complete", null)); // no effect on a call that has ended
  }

  @Override
  public void onNext(R response) {
    this.response = response;
  }

  @Override
  public void onError(Throwable failure) {
    completeExceptionally(failure instanceof StatusRuntimeException status ? new SluiceException(status) : failure);
  }

  @Override
  public void onCompleted() {
    complete(response);
  }
}
