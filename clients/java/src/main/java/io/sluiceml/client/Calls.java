package io.sluiceml.client;

import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientInterceptors;
import io.grpc.Metadata;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.AbstractStub;
import io.grpc.stub.MetadataUtils;
import io.sluiceml.v1.ContinuationScore;
import io.sluiceml.v1.CountTokensRequest;
import io.sluiceml.v1.CountTokensResponse;
import io.sluiceml.v1.DetokenizeRequest;
import io.sluiceml.v1.EmbedRequest;
import io.sluiceml.v1.EmbedResponse;
import io.sluiceml.v1.ExplainRequest;
import io.sluiceml.v1.ExplainResponse;
import io.sluiceml.v1.GenerateRequest;
import io.sluiceml.v1.GenerateResponse;
import io.sluiceml.v1.GenerateStreamResponse;
import io.sluiceml.v1.GetModelRequest;
import io.sluiceml.v1.InferenceServiceGrpc;
import io.sluiceml.v1.ListModelsRequest;
import io.sluiceml.v1.LoadModelRequest;
import io.sluiceml.v1.Model;
import io.sluiceml.v1.ModelServiceGrpc;
import io.sluiceml.v1.ScoreRequest;
import io.sluiceml.v1.Token;
import io.sluiceml.v1.TokenizeRequest;
import io.sluiceml.v1.TokenizerServiceGrpc;
import io.sluiceml.v1.UnloadModelRequest;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Flow;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;

/**
 * The calls of a Sluice server. {@link SluiceClient} is one; the methods {@code with…} return others over the same
 * connection, which differ in their deadline or headers:
 *
 * <pre>{@code
 * client.withTimeout(Duration.ofSeconds(5)).withTraceparent(traceparent).generate(request);
 * }</pre>
 *
 * <p>Objects of this class are immutable and safe for use by many threads. A failed call throws a {@link SluiceException}.
 * Methods that return no future, stream or publisher block; interrupting their thread cancels the call, which then fails
 * with the code {@code CANCELLED}, and so does cancelling gRPC's current {@link io.grpc.Context}, whose deadline holds too.
 */
public sealed class Calls permits SluiceClient {
  static final Metadata.Key<String> TRACEPARENT = headerOf("traceparent");

  private final Channel channel;
  private final Duration timeout; // null: no deadline

  Calls(Channel channel, Duration timeout) {
    this.channel = channel;
    this.timeout = timeout;
  }

  /**
   * Returns calls that fail with {@code DEADLINE_EXCEEDED} after a time, tries and waits included; the server keeps it too.
   */
  public Calls withTimeout(Duration timeout) {
    return new Calls(channel, timeout);
  }

  /** Returns calls that send one more header (gRPC's metadata), of ASCII. */
  public Calls withHeader(String name, String value) {
    Metadata headers = new Metadata();
    headers.put(headerOf(name), value);
    return new Calls(ClientInterceptors.intercept(channel, MetadataUtils.newAttachHeadersInterceptor(headers)), timeout);
  }

  /**
   * Returns calls that continue a W3C trace context, such as
   * {@code 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01}: the server's spans become its children.
   * {@link OpenTelemetryPropagation} does it by itself.
   */
  public Calls withTraceparent(String traceparent) {
    return withHeader(TRACEPARENT.name(), traceparent);
  }

  /** Returns what the calls go through, for the stubs of services that have no method here, such as health. */
  public Channel channel() {
    return channel;
  }

  /** Runs a request to its end and returns the whole answer. */
  public GenerateResponse generate(GenerateRequest request) {
    return call(() -> inferenceStub().generate(request));
  }

  /**
   * Runs a request to its end. The future fails with a {@link SluiceException}; cancelling it cancels the call. What
   * depends on it runs in gRPC's threads unless it names an executor.
   */
  public CompletableFuture<GenerateResponse> generateAsync(GenerateRequest request) {
    var future = new UnaryFuture<GenerateRequest, GenerateResponse>();
    limited(InferenceServiceGrpc.newStub(channel)).generate(request, future);
    return future;
  }

  /** Begins a request and returns its answer as it comes. A refused request throws where the stream is first read. */
  public GenerateStream stream(GenerateRequest request) {
    return new GenerateStream(() -> inferenceStub().generateStream(request));
  }

  /**
   * Returns a request's answer as a publisher for reactive libraries. Its events are those of
   * {@link GenerateStream#events}. Each subscription runs the request once; cancelling it stops the work in the server. A
   * failure is a {@link SluiceException}, signalled as {@code onError}.
   */
  public Flow.Publisher<GenerateStreamResponse> publisher(GenerateRequest request) {
    return new EventPublisher(channel, this::callOptions, request);
  }

  /** Computes how likely each continuation is behind an input, in their order. */
  public List<ContinuationScore> score(ScoreRequest request) {
    return call(() -> inferenceStub().score(request)).getScoresList();
  }

  /** Computes how much each segment of an input moves the probability of an answer. */
  public ExplainResponse explain(ExplainRequest request) {
    return call(() -> inferenceStub().explain(request));
  }

  /** Computes a vector for each of several inputs, in their order. {@link Requests#texts} makes a request of texts. */
  public EmbedResponse embed(EmbedRequest request) {
    return call(() -> inferenceStub().embed(request));
  }

  /** Lists the served models, the default one first. */
  public List<Model> models() {
    return call(() -> modelStub().listModels(ListModelsRequest.getDefaultInstance())).getModelsList();
  }

  /** Describes the served model of a name or alias; an empty one names the default model. */
  public Model model(String name) {
    return call(() -> modelStub().getModel(GetModelRequest.newBuilder().setName(name).build())).getModel();
  }

  /** Loads a model from the server's model store; returns once it serves. For a client of the admin address. */
  public Model loadModel(LoadModelRequest request) {
    return call(() -> modelStub().loadModel(request)).getModel();
  }

  /** Takes a model out of service; returns once it has finished what it had. For a client of the admin address. */
  public void unloadModel(String name) {
    call(() -> modelStub().unloadModel(UnloadModelRequest.newBuilder().setName(name).build()));
  }

  /** Turns a text into tokens of the default model, with the begin and end tokens that the model adds to a prompt. */
  public List<Token> tokenize(String text) {
    return tokenize(TokenizeRequest.newBuilder().setText(text).build());
  }

  /** Turns a text into tokens. */
  public List<Token> tokenize(TokenizeRequest request) {
    return call(() -> tokenizerStub().tokenize(request)).getTokensList();
  }

  /** Turns token ids into text. */
  public String detokenize(DetokenizeRequest request) {
    return call(() -> tokenizerStub().detokenize(request)).getText();
  }

  /** Counts the prompt tokens that an input would have, without running it. */
  public CountTokensResponse countTokens(CountTokensRequest request) {
    return call(() -> tokenizerStub().countTokens(request));
  }

  private InferenceServiceGrpc.InferenceServiceBlockingStub inferenceStub() {
    return limited(InferenceServiceGrpc.newBlockingStub(channel));
  }

  private ModelServiceGrpc.ModelServiceBlockingStub modelStub() {
    return limited(ModelServiceGrpc.newBlockingStub(channel));
  }

  private TokenizerServiceGrpc.TokenizerServiceBlockingStub tokenizerStub() {
    return limited(TokenizerServiceGrpc.newBlockingStub(channel));
  }

  /** The options of a call that begins now. */
  private CallOptions callOptions() {
    CallOptions none = CallOptions.DEFAULT;
    return timeout == null ? none : none.withDeadlineAfter(timeout.toNanos(), TimeUnit.NANOSECONDS);
  }

  /** A stub for a call that begins now. */
  private <S extends AbstractStub<S>> S limited(S stub) {
    return timeout == null ? stub : stub.withDeadlineAfter(timeout.toNanos(), TimeUnit.NANOSECONDS);
  }

  private static <R> R call(Supplier<R> call) {
    try {
      return call.get();
    } catch (StatusRuntimeException e) {
      throw new SluiceException(e);
    }
  }

  static Metadata.Key<String> headerOf(String name) {
    return Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER);
  }
}
