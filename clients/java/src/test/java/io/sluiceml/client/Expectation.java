package io.sluiceml.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import io.sluiceml.v1.ContinuationScore;
import io.sluiceml.v1.CountTokensResponse;
import io.sluiceml.v1.EmbedResponse;
import io.sluiceml.v1.Embedding;
import io.sluiceml.v1.ExplainResponse;
import io.sluiceml.v1.Output;
import io.sluiceml.v1.Token;
import io.sluiceml.v1.TokenLogprobs;
import io.sluiceml.v1.ToolCall;
import java.time.Duration;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import java.util.stream.StreamSupport;

/** What a case expects: its {@code expect}. What is not there is not checked. */
record Expectation(JsonObject json) {
  private static final String REPLACEMENT = "\uFFFD";
  private static final Set<String> FIELDS = Set.of("code", "started", "fields", "reason", "resource", "retryAfter",
      "text", "textPrefix", "textIn", "jsonKeys", "id", "finishReasons", "stopSequence", "toolCalls", "seeds",
      "promptTokens", "completionTokens", "minDeltas", "tokenIds", "logprobs", "promptLogprobs", "idle", "best", "tokens",
      "ids", "vectorSizes", "answerTokens", "segments");

  Expectation {
    assertTrue(FIELDS.containsAll(json.keySet()), "an expectation that is not known: what nobody checks shows nothing");
  }

  boolean fails() {
    return json.has("code");
  }

  boolean started() {
    return is("started");
  }

  boolean idle() {
    return is("idle");
  }

  private boolean is(String field) {
    return json.has(field) && json.get(field).getAsBoolean();
  }

  private void with(String field, Consumer<JsonElement> check) {
    if (json.has(field)) {
      check.accept(json.get(field));
    }
  }

  private static List<String> texts(JsonElement array) {
    return StreamSupport.stream(array.getAsJsonArray().spliterator(), false).map(JsonElement::getAsString).toList();
  }

  private static List<Integer> numbers(JsonElement array) {
    return StreamSupport.stream(array.getAsJsonArray().spliterator(), false).map(JsonElement::getAsInt).toList();
  }

  /** Checks how a call failed. */
  void check(SluiceException e) {
    assertEquals(json.get("code").getAsString(), e.code().name(), e.getMessage());
    var fields = e.fieldViolations().stream().map(FieldViolation::field).sorted().toList();
    assertEquals(json.has("fields") ? texts(json.get("fields")).stream().sorted().toList() : List.of(), fields);
    e.fieldViolations().forEach(violation -> assertFalse(violation.description().isEmpty(), violation.field()));
    with("reason", want -> assertEquals(want.getAsString(), e.reason()));
    assertEquals(json.has("resource") ? json.get("resource").getAsString() : "", e.resource());
    if (is("retryAfter")) {
      assertTrue(e.retryAfter().orElse(Duration.ZERO).compareTo(Duration.ZERO) > 0, "when to try again");
    }
  }

  /** Checks an answer that succeeded. */
  void check(Answer answer) {
    assertFalse(answer.id().isEmpty() || answer.model().isEmpty() || answer.outputs().isEmpty(), "incomplete");
    assertNotNull(answer.usage());
    List<Output> outputs = answer.outputs();
    Output first = outputs.get(0);
    checkText(first.getText());
    with("id", want -> assertEquals(want.getAsString(), answer.id()));
    with("finishReasons", want -> assertEquals(texts(want), outputs.stream().map(o -> o.getFinishReason().name()).toList()));
    with("stopSequence", want -> assertEquals(want.getAsString(), first.getStopSequence()));
    with("seeds", want -> assertEquals(texts(want), outputs.stream().map(o -> Long.toUnsignedString(o.getSeed())).toList()));
    with("toolCalls", want -> checkCalls(want.getAsJsonArray(), first.getToolCallsList()));
    int completion = answer.usage().getCompletionTokens();
    with("promptTokens", want -> assertEquals(want.getAsInt(), answer.usage().getPromptTokens()));
    with("completionTokens", want -> assertEquals(want.getAsInt(), completion));
    if (is("tokenIds")) {
      assertEquals(completion, outputs.stream().mapToInt(Output::getTokenIdsCount).sum());
    }
    with("logprobs", top -> {
      assertEquals(completion, outputs.stream().mapToInt(Output::getLogprobsCount).sum());
      outputs.forEach(output -> checkLogprobs(output.getLogprobsList(), top.getAsInt()));
    });
    if (is("promptLogprobs")) {
      assertEquals(answer.usage().getPromptTokens(), answer.promptLogprobs().size());
    }
    if (answer.deltas() != null) {
      long withText = answer.deltas().stream().filter(d -> !d.getText().isEmpty()).count();
      with("minDeltas", want -> assertTrue(withText >= want.getAsLong(), "too few deltas"));
      assertTrue(first.getText().contains(REPLACEMENT)
          || answer.deltas().stream().noneMatch(d -> d.getText().contains(REPLACEMENT)), "a delta splits a character");
    }
  }

  void checkText(String text) {
    with("text", want -> assertEquals(want.getAsString(), text));
    with("textPrefix", want -> assertTrue(text.startsWith(want.getAsString()), text));
    with("textIn", want -> assertTrue(texts(want).contains(text), text));
    with("jsonKeys", want -> assertEquals(new TreeSet<>(texts(want)),
        new TreeSet<>(JsonParser.parseString(text).getAsJsonObject().keySet())));
  }

  private static void checkCalls(JsonArray want, List<ToolCall> calls) {
    assertEquals(want.size(), calls.size());
    for (int i = 0; i < want.size(); i++) {
      JsonObject call = want.get(i).getAsJsonObject();
      assertFalse(calls.get(i).getId().isEmpty());
      assertEquals(call.get("name").getAsString(), calls.get(i).getName());
      assertEquals(call.get("arguments"), JsonParser.parseString(calls.get(i).getArguments()));
    }
  }

  /** Checks entries with so many of the likeliest tokens each. */
  private static void checkLogprobs(List<TokenLogprobs> entries, int top) {
    for (TokenLogprobs entry : entries) {
      assertTrue(entry.getChosen().getLogprob() <= 0 && entry.getChosen().getRank() >= 1, entry::toString);
      assertEquals(IntStream.rangeClosed(1, top).boxed().toList(), entry.getTopList().stream().map(t -> t.getRank()).toList());
    }
  }

  void check(List<ContinuationScore> scores) {
    assertEquals(numbers(json.get("tokens")), scores.stream().map(ContinuationScore::getTokens).toList());
    double best = scores.get(json.get("best").getAsInt()).getLogLikelihood();
    scores.forEach(score -> assertTrue(score.getLogLikelihood() <= best, "another one is the likeliest"));
    with("logprobs", top -> scores.forEach(score -> {
      assertEquals(score.getTokens(), score.getLogprobsCount());
      checkLogprobs(score.getLogprobsList(), top.getAsInt());
    }));
  }

  void check(ExplainResponse explanation) {
    assertEquals(json.get("answerTokens").getAsInt(), explanation.getAnswerTokens());
    assertTrue(explanation.getLogLikelihood() < 0);
    var want = StreamSupport.stream(json.getAsJsonArray("segments").spliterator(), false).map(Expectation::numbers).toList();
    assertEquals(want, explanation.getAttributionsList().stream().map(a -> List.of(a.getStart(), a.getEnd())).toList());
  }

  void check(EmbedResponse embeddings) {
    assertEquals(numbers(json.get("vectorSizes")), embeddings.getEmbeddingsList().stream().map(Embedding::getValuesCount).toList());
    embeddings.getEmbeddingsList().forEach(embedding -> assertEquals(
        1, Math.sqrt(embedding.getValuesList().stream().mapToDouble(value -> (double) value * value).sum()), 1e-4));
  }

  void check(CountTokensResponse counted) {
    assertEquals(json.get("promptTokens").getAsInt(), counted.getCount());
  }

  void checkTokens(List<Token> tokens) {
    assertEquals(numbers(json.get("ids")), tokens.stream().map(Token::getId).toList());
  }
}
