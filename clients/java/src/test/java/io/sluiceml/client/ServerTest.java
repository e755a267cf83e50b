package io.sluiceml.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.ByteString;
import io.grpc.Status;
import io.sluiceml.v1.Choice;
import io.sluiceml.v1.Constraint;
import io.sluiceml.v1.CountTokensRequest;
import io.sluiceml.v1.DetokenizeRequest;
import io.sluiceml.v1.Delta;
import io.sluiceml.v1.Embedding;
import io.sluiceml.v1.ExplainRequest;
import io.sluiceml.v1.FinishReason;
import io.sluiceml.v1.GenerateRequest;
import io.sluiceml.v1.GenerateStreamResponse;
import io.sluiceml.v1.GenerateStreamResponse.EventCase;
import io.sluiceml.v1.LoadModelRequest;
import io.sluiceml.v1.Model;
import io.sluiceml.v1.ModelState;
import io.sluiceml.v1.OutputOptions;
import io.sluiceml.v1.Sampling;
import io.sluiceml.v1.ScoreRequest;
import io.sluiceml.v1.Stop;
import io.sluiceml.v1.Token;
import io.sluiceml.v1.TokenizeRequest;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Flow;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import reactor.adapter.JdkFlowAdapter;

/** The client against the real server. */
@Timeout(120)
class ServerTest {
  private static final String CAPITAL = "The capital of France is";
  private static final GenerateRequest ENDLESS =
      Requests.prompt(CAPITAL).setSampling(Sampling.newBuilder().setMaxTokens(2000).setIgnoreEos(true)).build();

  private static SluiceServer server;
  private static SluiceClient client;

  @BeforeAll
  static void start() throws Exception {
    server = new SluiceServer();
    client = SluiceClient.connect(server.target());
  }

  @AfterAll
  static void stop() throws Exception {
    client.close();
    server.close();
  }

  private static SluiceException fails(Runnable call, Status.Code code) {
    SluiceException e = assertThrows(SluiceException.class, call::run);
    assertEquals(code, e.code(), e.getMessage());
    return e;
  }

  /** Asks for so many of the likeliest tokens. */
  private static GenerateRequest.Builder greedy(String prompt, int tokens) {
    return Requests.prompt(prompt).setSampling(Sampling.newBuilder().setMaxTokens(tokens).setTemperature(0).setIgnoreEos(true));
  }

  @Test
  void unary() throws Exception {
    var answer = client.generate(greedy(CAPITAL, 12).setOutput(OutputOptions.newBuilder().setTokenIds(true)).build());
    assertTrue(answer.getOutputs(0).getText().contains("Paris"));
    assertEquals(SluiceServer.MODEL, answer.getModel());
    assertEquals(12, answer.getOutputs(0).getTokenIdsCount());
    var count = client.countTokens(CountTokensRequest.newBuilder().setPrompt(CAPITAL).build());
    assertEquals(count.getCount(), answer.getUsage().getPromptTokens());
    var later = client.generateAsync(greedy(CAPITAL, 12).build()).get();
    assertEquals(answer.getOutputs(0).getText(), later.getOutputs(0).getText());
  }

  @ParameterizedTest
  @ValueSource(strings = {CAPITAL, "Translate to Chinese: 你好，世界。今天天气很好，我们去公园吧。",
      "Repeat these emoji: 😀🎉👩‍👩‍👧‍👦🇨🇭 😀🎉👩‍👩‍👧‍👦🇨🇭 😀"})
  void joinedStreamEqualsUnary(String prompt) {
    var request = greedy(prompt, 48).build();
    var whole = client.generate(request);
    try (var stream = client.stream(request)) {
      assertEquals(whole.getOutputs(0).getText(), stream.read());
      assertEquals(SluiceServer.MODEL, stream.model());
      assertFalse(stream.id().isEmpty());
      assertEquals(FinishReason.FINISH_REASON_LENGTH, stream.finished().get(0).getFinishReason());
      assertEquals(whole.getUsage().getPromptTokens(), stream.usage().getPromptTokens());
      assertEquals(48, stream.usage().getCompletionTokens());
      assertTrue(stream.timings().hasDecode());
    }
    var published = new Collector();
    client.publisher(request).subscribe(published);
    assertEquals(whole.getOutputs(0).getText(), published.text.join());
    var flux = JdkFlowAdapter.flowPublisherToFlux(client.publisher(request)).map(event -> event.getDelta().getText());
    assertEquals(whole.getOutputs(0).getText(), String.join("", flux.collectList().block()));
  }

  @Test
  void aConversationSampledWithASeed() {
    var request = Requests.chat(Requests.user("Name three rivers."))
        .setSampling(Sampling.newBuilder().setMaxTokens(32).setTemperature(0.9f).setTopP(0.9f).setSeed(-1)).build();
    var whole = client.generate(request);
    assertEquals("18446744073709551615", Long.toUnsignedString(whole.getOutputs(0).getSeed()));
    try (var stream = client.stream(request)) {
      assertEquals(whole.getOutputs(0).getText(), stream.read());
    }
  }

  @Test
  void eventsComeInTheirOrder() {
    var request = greedy(CAPITAL, 3).setOutput(OutputOptions.newBuilder().setPromptLogprobs(0).setLogprobs(2)).build();
    try (var stream = client.stream(request)) {
      List<EventCase> cases = new ArrayList<>();
      stream.events().forEachRemaining(event -> cases.add(event.getEventCase()));
      assertEquals(List.of(EventCase.STARTED, EventCase.PROMPT, EventCase.DELTA, EventCase.FINISHED, EventCase.SUMMARY),
          cases.stream().distinct().toList());
      var bytes = stream.promptLogprobs().stream().map(logprobs -> logprobs.getChosen().getToken()).toList();
      assertEquals(CAPITAL, ByteString.copyFrom(bytes).toStringUtf8());
    }
  }

  @Test
  void stopsAndConstraints() {
    var stopped = client.generate(greedy("One, two, three, four,", 40).setStop(Stop.newBuilder().addStrings("seven")).build());
    assertEquals(FinishReason.FINISH_REASON_STOP_SEQUENCE, stopped.getOutputs(0).getFinishReason());
    assertFalse(stopped.getOutputs(0).getText().contains("seven"));
    var held = client.generate(Requests.chat(Requests.user("Name a river."))
        .setConstraint(Constraint.newBuilder().setChoice(Choice.newBuilder().addChoices("Aare").addChoices("Rhine"))).build());
    assertTrue(List.of("Aare", "Rhine").contains(held.getOutputs(0).getText()));
  }

  @Test
  void modelsAndTokens() {
    Model first = client.models().get(0);
    assertEquals(SluiceServer.MODEL, first.getName());
    assertEquals(ModelState.MODEL_STATE_READY, first.getState());
    assertEquals(SluiceServer.MODEL, client.model("").getName());

    String text = "你好 👩‍👩‍👧‍👦!";
    List<Token> tokens = client.tokenize(TokenizeRequest.newBuilder().setText(text).setAddSpecialTokens(false).build());
    assertEquals(text, ByteString.copyFrom(tokens.stream().map(Token::getBytes).toList()).toStringUtf8());
    int[] ids = tokens.stream().mapToInt(Token::getId).toArray();
    var back = DetokenizeRequest.newBuilder();
    tokens.forEach(token -> back.addIds(token.getId()));
    assertEquals(text, client.detokenize(back.build()));
    var request = Requests.tokens(ids).setSampling(Sampling.newBuilder().setMaxTokens(1)).build();
    assertEquals(ids.length, client.generate(request).getUsage().getPromptTokens());
    assertEquals(client.tokenize(CAPITAL).size(), client.generate(greedy(CAPITAL, 1).build()).getUsage().getPromptTokens());
  }

  @Test
  void scoresAndExplanations() {
    var scores = client.score(
        ScoreRequest.newBuilder().setPrompt(CAPITAL).addContinuations(" Paris").addContinuations(" banana").build());
    assertTrue(scores.get(0).getLogLikelihood() > scores.get(1).getLogLikelihood());
    var why = client.explain(ExplainRequest.newBuilder().setPrompt("It rains. " + CAPITAL).setAnswer(" Paris").build());
    assertTrue(why.getAttributions(1).getEffect() > why.getAttributions(0).getEffect());
  }

  @Test
  void embeddings() {
    var answer = client.embed(Requests.texts("A river.", "A stream.", "A river.").build());
    var values = answer.getEmbeddingsList().stream().map(Embedding::getValuesList).toList();
    assertEquals(client.model("").getEmbeddingSize(), values.get(0).size());
    assertEquals(1, values.get(0).stream().mapToDouble(v -> v * v).sum(), 1e-3); // normalised
    assertEquals(values.get(0), values.get(2));
    assertNotEquals(values.get(0), values.get(1));
  }

  @Test
  void leavingTheLoopFreesTheSlot() throws Exception {
    try (var stream = client.stream(ENDLESS)) {
      for (Delta delta : stream) {
        assertFalse(delta.getText().isEmpty());
        SluiceServer.untilBusy(client, 1);
        break;
      }
      assertFalse(stream.complete());
    }
    SluiceServer.untilBusy(client, 0);
  }

  @Test
  void cancelling() throws Exception {
    try (var stream = client.stream(ENDLESS)) {
      stream.iterator().next();
      stream.cancel();
      fails(stream::read, Status.Code.CANCELLED);
    }
    SluiceServer.untilBusy(client, 0);
    var future = client.generateAsync(ENDLESS);
    SluiceServer.untilBusy(client, 1);
    future.cancel(true);
    SluiceServer.untilBusy(client, 0);
    var subscriber = new Collector();
    client.publisher(ENDLESS).subscribe(subscriber);
    subscriber.begun.join().cancel();
    SluiceServer.untilBusy(client, 0);
  }

  @Test
  void aDeadlineThatPasses() throws Exception {
    // With ignore_eos the server would know that it takes too long, and refuse it.
    var request = ENDLESS.toBuilder();
    request.getSamplingBuilder().clearIgnoreEos().putLogitBias(2, -100);
    var limited = client.withTimeout(java.time.Duration.ofMillis(400));
    fails(() -> limited.generate(request.build()), Status.Code.DEADLINE_EXCEEDED);
    fails(() -> limited.stream(request.build()).read(), Status.Code.DEADLINE_EXCEEDED);
    SluiceServer.untilBusy(client, 0);
  }

  @Test
  void errors() {
    var bad = greedy("x", 1);
    bad.getSamplingBuilder().setTopP(1.5f).setTemperature(Float.NaN);
    for (Runnable call : List.<Runnable>of(() -> client.generate(bad.build()), () -> client.stream(bad.build()).read())) {
      var e = fails(call, Status.Code.INVALID_ARGUMENT);
      assertEquals(List.of("sampling.temperature", "sampling.top_p"),
          e.fieldViolations().stream().map(FieldViolation::field).sorted().toList());
    }
    var unknown = greedy("x", 1).setModel("gpt-9").build();
    assertEquals("gpt-9", fails(() -> client.generate(unknown), Status.Code.NOT_FOUND).resource());
    var published = new Collector();
    client.publisher(unknown).subscribe(published);
    var e = assertThrows(java.util.concurrent.CompletionException.class, published.text::join).getCause();
    assertEquals("gpt-9", ((SluiceException) e).resource());
    var load = LoadModelRequest.newBuilder().setName("x").build();
    assertEquals("ADMIN_ONLY", fails(() -> client.loadModel(load), Status.Code.PERMISSION_DENIED).reason());
    assertEquals("ADMIN_ONLY", fails(() -> client.unloadModel("x"), Status.Code.PERMISSION_DENIED).reason());
    // Over the limit of messages, by which it is no case for another try either.
    fails(() -> client.stream(Requests.prompt("x".repeat(17 << 20)).build()).read(), Status.Code.RESOURCE_EXHAUSTED);
  }

  /** Asks for one event after the other and joins the text. */
  private static final class Collector implements Flow.Subscriber<GenerateStreamResponse> {
    final CompletableFuture<Flow.Subscription> begun = new CompletableFuture<>();
    final CompletableFuture<String> text = new CompletableFuture<>();

    private final StringBuilder joined = new StringBuilder();
    private Flow.Subscription subscription;

    @Override
    public void onSubscribe(Flow.Subscription subscription) {
      this.subscription = subscription;
      subscription.request(1);
    }

    @Override
    public void onNext(GenerateStreamResponse event) {
      joined.append(event.getDelta().getText());
      if (event.hasDelta()) {
        begun.complete(subscription);
      }
      subscription.request(1);
    }

    @Override
    public void onError(Throwable failure) {
      text.completeExceptionally(failure);
    }

    @Override
    public void onComplete() {
      text.complete(joined.toString());
    }
  }
}
