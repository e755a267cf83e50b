package io.sluiceml.client;

import io.grpc.Context;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.sluiceml.v1.Delta;
import io.sluiceml.v1.Finished;
import io.sluiceml.v1.GenerateStreamResponse;
import io.sluiceml.v1.Started;
import io.sluiceml.v1.Summary;
import io.sluiceml.v1.Timings;
import io.sluiceml.v1.TokenLogprobs;
import io.sluiceml.v1.Usage;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Iterator;
import java.util.List;
import java.util.NoSuchElementException;
import java.util.Spliterator;
import java.util.Spliterators;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;

/**
 * One answer as it comes. Iterate over it for its deltas, over {@link #texts} for the text of the first output, or over
 * {@link #events} for everything; all of them read the one stream, so it is read once.
 *
 * <pre>{@code
 * try (GenerateStream stream = client.stream(request)) {
 *   for (Delta delta : stream) {
 *     System.out.print(delta.getText());
 *   }
 *   System.out.println(stream.usage().getCompletionTokens() + " tokens");
 * }
 * }</pre>
 *
 * <p>The call begins when the stream is made, and a stream that is not read to its end must be closed. Closing, as leaving
 * the block does, ends the call: the server stops the work at its next step. Reading blocks until there is something to
 * read; a failure is a {@link SluiceException}, thrown where the stream is read, and so is an interruption of the reading
 * thread, with the code {@code CANCELLED}.
 *
 * <p>One thread at a time reads; {@link #cancel} and {@link #close} may be called from any.
 */
public final class GenerateStream implements Iterable<Delta>, AutoCloseable {
  /** How a stream fails that ends in good order, but without its summary. */
  static final Status NO_SUMMARY = Status.INTERNAL.withDescription("the stream ended without its summary");

  private final Context.CancellableContext context = Context.current().withCancellation();
  private final Events events;

  private Started started = Started.getDefaultInstance();
  private final List<TokenLogprobs> promptLogprobs = new ArrayList<>();
  private final List<Finished> finished = new ArrayList<>();
  private Summary summary;

  /** Makes the call in a context whose end cancels it. */
  GenerateStream(Supplier<Iterator<GenerateStreamResponse>> call) {
    Context previous = context.attach();
    try {
      events = new Events(call.get());
    } catch (RuntimeException e) {
      context.cancel(null);
      throw e;
    } finally {
      context.detach(previous);
    }
  }

  /** Returns the deltas of all outputs. Those of one output join to its text, and none splits a character. */
  @Override
  public Iterator<Delta> iterator() {
    return deltas().iterator();
  }

  /** Returns what {@link #iterator} does, as a stream; closing that closes this. */
  public Stream<Delta> deltas() {
    return streamOf(events).filter(GenerateStreamResponse::hasDelta).map(GenerateStreamResponse::getDelta);
  }

  /** Returns the texts of the first output's deltas, none of them empty. */
  public Stream<String> texts() {
    return deltas().filter(delta -> delta.getIndex() == 0).map(Delta::getText).filter(text -> !text.isEmpty());
  }

  /**
   * Returns all events as the server sends them: started, parts of the prompt, deltas, finished, summary. It leaves out
   * those that this version of the library does not know.
   */
  public Iterator<GenerateStreamResponse> events() {
    return events;
  }

  /** Reads the stream to its end and returns the joined text of the first output. */
  public String read() {
    return texts().collect(Collectors.joining());
  }

  /** Returns the request's id: known from the first delta on, until then empty. */
  public String id() {
    return started.getId();
  }

  /** Returns the name of the model that answers: known from the first delta on, until then empty. */
  public String model() {
    return started.getModel();
  }

  /**
   * Returns what the model thought of each token of the prompt, if {@code output.prompt_logprobs} was set: complete from
   * the first delta on.
   */
  public List<TokenLogprobs> promptLogprobs() {
    return Collections.unmodifiableList(promptLogprobs);
  }

  /** Returns why each output ended that has, in the order of their ends. */
  public List<Finished> finished() {
    return Collections.unmodifiableList(finished);
  }

  /**
   * Returns the tokens counted.
   *
   * @throws IllegalStateException if the stream has not been read to its end
   */
  public Usage usage() {
    return summary().getUsage();
  }

  /**
   * Returns where the time went, measured in the server.
   *
   * @throws IllegalStateException if the stream has not been read to its end
   */
  public Timings timings() {
    return summary().getTimings();
  }

  private Summary summary() {
    if (summary == null) {
      throw new IllegalStateException("the stream has not been read to its end");
    }
    return summary;
  }

  /** Says whether the stream was read to its end, so that {@link #usage} and {@link #timings} are known. */
  public boolean complete() {
    return summary != null;
  }

  /**
   * Ends the call; whoever reads gets a {@link SluiceException} with the code {@code CANCELLED}. No effect once it has
   * ended.
   */
  public void cancel() {
    context.cancel(null);
  }

  /** Ends the call, as {@link #cancel} does. */
  @Override
  public void close() {
    cancel();
  }

  private <T> Stream<T> streamOf(Iterator<T> iterator) {
    int characteristics = Spliterator.ORDERED | Spliterator.NONNULL;
    return StreamSupport.stream(Spliterators.spliteratorUnknownSize(iterator, characteristics), false).onClose(this::close);
  }

  /** Keeps what the accessors return, and says whether the event is a known one. */
  private boolean note(GenerateStreamResponse event) {
    switch (event.getEventCase()) {
      case STARTED -> started = event.getStarted();
      case PROMPT -> promptLogprobs.addAll(event.getPrompt().getLogprobsList());
      case DELTA -> { }
      case FINISHED -> finished.add(event.getFinished());
      case SUMMARY -> summary = event.getSummary();
      case EVENT_NOT_SET -> {
        return false; // of a newer server
      }
    }
    return true;
  }

  /** The known events of the responses. */
  private final class Events implements Iterator<GenerateStreamResponse> {
    private final Iterator<GenerateStreamResponse> responses;
    private GenerateStreamResponse next;

    Events(Iterator<GenerateStreamResponse> responses) {
      this.responses = responses;
    }

    @Override
    public boolean hasNext() {
      try {
        while (next == null && responses.hasNext()) {
          GenerateStreamResponse response = responses.next();
          if (note(response)) {
            next = response;
          }
        }
      } catch (StatusRuntimeException e) {
        context.cancel(null); // what listens to the context may go
        throw new SluiceException(e);
      }
      if (next == null) {
        context.cancel(null);
        if (summary == null) {
          throw new SluiceException(NO_SUMMARY);
        }
      }
      return next != null;
    }

    @Override
    public GenerateStreamResponse next() {
      if (!hasNext()) {
        throw new NoSuchElementException();
      }
      GenerateStreamResponse event = next;
      next = null;
      return event;
    }
  }
}
