package io.sluiceml.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.Gson;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.google.protobuf.Message;
import com.google.protobuf.util.JsonFormat;
import io.sluiceml.v1.CountTokensRequest;
import io.sluiceml.v1.Delta;
import io.sluiceml.v1.DetokenizeRequest;
import io.sluiceml.v1.EmbedRequest;
import io.sluiceml.v1.ExplainRequest;
import io.sluiceml.v1.GenerateRequest;
import io.sluiceml.v1.ScoreRequest;
import io.sluiceml.v1.TokenizeRequest;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Named;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** The cases of clients/conformance, as its README says. */
class ConformanceTest {
  private static final Path SUITE = SluiceServer.ROOT.resolve("clients/conformance");
  private static final Set<String> FIELDS = Set.of("name", "about", "call", "request", "before", "server", "key", "tls",
      "promptRepeat", "parallel", "occupy", "cancelAfter", "leaveAfter", "stallAfter", "deadlineMs", "retry", "expect");

  /** How long the servers may take to stop before they are killed. */
  private static final Duration STOP_TIMEOUT = Duration.ofMinutes(2);

  private static final List<String> passed = new ArrayList<>();
  private static Process process;
  private static JsonObject servers;

  @BeforeAll
  static void start() throws IOException {
    process = new ProcessBuilder("go", "run", "./clients/conformance/servers").directory(SluiceServer.ROOT.toFile())
        .redirectError(ProcessBuilder.Redirect.INHERIT).start();
    String line = process.inputReader().readLine();
    assertTrue(line != null, "the servers do not start");
    servers = JsonParser.parseString(line).getAsJsonObject();
  }

  @AfterAll
  static void stop() throws IOException, InterruptedException {
    process.getOutputStream().close();
    if (!process.waitFor(STOP_TIMEOUT.toSeconds(), TimeUnit.SECONDS)) {
      process.descendants().forEach(ProcessHandle::destroyForcibly); // `go run` has the servers for a child
      process.destroyForcibly();
    }
    assertEquals(0, process.waitFor(), "the servers do not stop well");
    String results = System.getenv("CONFORMANCE_RESULTS");
    if (results != null && !results.isEmpty()) {
      Files.writeString(Path.of(results, "java.json"), new Gson().toJson(Map.of("client", "Java", "passed", passed)));
    }
  }

  static Stream<Named<JsonObject>> cases() throws IOException {
    JsonElement cases = JsonParser.parseString(Files.readString(SUITE.resolve("cases.json")));
    return StreamSupport.stream(cases.getAsJsonArray().spliterator(), false).map(JsonElement::getAsJsonObject)
        .map(c -> Named.of(c.get("name").getAsString(), c));
  }

  @ParameterizedTest
  @MethodSource("cases")
  @Timeout(120) // only a call that hangs takes so long
  void runs(JsonObject json) throws Exception {
    assertTrue(FIELDS.containsAll(json.keySet()), "a field that is not known: what nobody checks shows nothing");
    try (SluiceClient client = client(json)) {
      new Case(json, client).run();
    }
    passed.add(json.get("name").getAsString());
  }

  /** The client that a case calls with. Most say what one call gives, so that it tries nothing again. */
  private static SluiceClient client(JsonObject json) {
    JsonObject server = servers.getAsJsonObject(text(json, "server", "default"));
    var builder = SluiceClient.builder(server.get("addr").getAsString());
    if (!json.has("retry") || !json.get("retry").getAsBoolean()) {
      builder.retry(RetryPolicy.NONE);
    }
    if (server.has("ca")) {
      Path ca = Path.of(server.get("ca").getAsString());
      String tls = text(json, "tls", "ca");
      switch (tls) {
        case "ca" -> builder.trust(ca);
        case "certificate" -> builder.trust(ca).clientCertificate(
            Path.of(server.get("cert").getAsString()), Path.of(server.get("certKey").getAsString()));
        case "system" -> builder.tls();
        case "none" -> { }
        default -> throw new IllegalArgumentException("unknown tls " + tls);
      }
    }
    String key = text(json, "key", "valid");
    if (server.has("keys") && !key.equals("none")) {
      builder.apiKey(server.getAsJsonObject("keys").get(key).getAsString());
    }
    return builder.build();
  }

  private static String text(JsonObject json, String field, String otherwise) {
    return json.has(field) ? json.get(field).getAsString() : otherwise;
  }

  /** One case and the client that it calls with. */
  private record Case(JsonObject json, SluiceClient client, Calls calls, Expectation expect) {
    Case(JsonObject json, SluiceClient client) {
      this(json, client,
          json.has("deadlineMs") ? client.withTimeout(Duration.ofMillis(json.get("deadlineMs").getAsInt())) : client,
          new Expectation(json.getAsJsonObject("expect")));
    }

    void run() throws Exception {
      if (json.has("before")) {
        client.generate(parse(json.get("before"), GenerateRequest.newBuilder()).build());
      }
      List<GenerateStream> held = new ArrayList<>();
      try {
        for (int i = 0; i < number("occupy", 0); i++) {
          held.add(client.stream(request()));
          SluiceServer.untilBusy(client, i + 1);
        }
        call();
      } finally {
        held.forEach(GenerateStream::close);
      }
      if (expect.idle()) {
        SluiceServer.untilBusy(client, 0);
      }
    }

    private void call() throws Exception {
      String call = json.get("call").getAsString();
      switch (call) {
        case "generate" -> attempt(() -> Answer.of(calls.generate(request())));
        case "stream" -> attempt(this::stream);
        case "both" -> {
          Answer whole = attempt(() -> Answer.of(calls.generate(request())));
          Answer streamed = attempt(this::stream);
          if (whole != null) {
            whole.checkSame(streamed);
          }
        }
        case "score" -> judge(ScoreRequest.newBuilder(), r -> calls.score(r.build()), expect::check);
        case "explain" -> judge(ExplainRequest.newBuilder(), r -> calls.explain(r.build()), expect::check);
        case "embed" -> judge(EmbedRequest.newBuilder(), r -> calls.embed(r.build()), expect::check);
        case "tokenize" -> judge(TokenizeRequest.newBuilder(), r -> calls.tokenize(r.build()), expect::checkTokens);
        case "detokenize" -> judge(DetokenizeRequest.newBuilder(), r -> calls.detokenize(r.build()), expect::checkText);
        case "countTokens" -> judge(CountTokensRequest.newBuilder(), r -> calls.countTokens(r.build()), expect::check);
        default -> throw new IllegalArgumentException("unknown call " + call);
      }
    }

    /** Makes a call that gives no {@link Answer} of the case's request, and checks how it ends. */
    private <B extends Message.Builder, T> void judge(B request, Function<B, T> call, Consumer<T> check) throws IOException {
      B parsed = parse(json.get("request"), request);
      if (expect.fails()) {
        expect.check(assertThrows(SluiceException.class, () -> call.apply(parsed)));
      } else {
        check.accept(call.apply(parsed));
      }
    }

    /**
     * Makes a call, as often at once as the case says, and returns the first answer; null where there is none to compare.
     */
    private Answer attempt(Callable<Answer> call) throws Exception {
      int parallel = number("parallel", 1);
      var threads = Executors.newFixedThreadPool(parallel);
      try {
        List<Future<Answer>> calls = new ArrayList<>();
        for (int i = 0; i < parallel; i++) {
          calls.add(threads.submit(call));
        }
        List<Answer> answers = new ArrayList<>();
        for (Future<Answer> made : calls) {
          if (expect.fails()) {
            Throwable failure = assertThrows(ExecutionException.class, made::get).getCause();
            expect.check(assertInstanceOf(SluiceException.class, failure));
            continue;
          }
          Answer answer = made.get();
          answers.add(answer);
          if (json.has("leaveAfter")) {
            assertTrue(answer.usage() == null, "the stream was left, and yet it has its end");
          } else {
            expect.check(answer);
            assertEquals(answers.get(0).outputs().get(0).getText(), answer.outputs().get(0).getText());
          }
        }
        return expect.fails() || json.has("leaveAfter") ? null : answers.get(0);
      } finally {
        threads.shutdown();
      }
    }

    private Answer stream() throws IOException, InterruptedException {
      List<Delta> deltas = new ArrayList<>();
      try (GenerateStream stream = calls.stream(request())) {
        try {
          for (Delta delta : stream) {
            deltas.add(delta);
            if (deltas.size() == number("cancelAfter", 0)) {
              stream.cancel();
            }
            if (deltas.size() == number("stallAfter", 0)) {
              SluiceServer.untilBusy(client, 0);
            }
            if (deltas.size() == number("leaveAfter", 0)) {
              break;
            }
          }
        } catch (SluiceException e) {
          assertEquals(expect.started(), !stream.id().isEmpty(), "whether the stream had started");
          throw e;
        }
        return Answer.of(stream, deltas);
      }
    }

    private GenerateRequest request() throws IOException {
      var request = parse(json.get("request"), GenerateRequest.newBuilder());
      if (json.has("promptRepeat")) {
        request.setPrompt(request.getPrompt().repeat(number("promptRepeat", 1)));
      }
      return request.build();
    }

    private int number(String field, int otherwise) {
      return json.has(field) ? json.get(field).getAsInt() : otherwise;
    }

    private static <B extends Message.Builder> B parse(JsonElement json, B builder) throws IOException {
      JsonFormat.parser().merge(json.toString(), builder);
      return builder;
    }
  }
}
