package io.sluiceml.client;

import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.BufferedReader;
import java.io.File;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** The real server: {@code sluice serve} with the cache's model, on free ports of this machine. */
final class SluiceServer implements AutoCloseable {
  /** The repository; the tests run in clients/java. */
  static final Path ROOT = Path.of("../..").toAbsolutePath().normalize();
  static final String MODEL = "smollm2-135m-instruct";

  /** How long a server may take to drain before it is killed. */
  static final Duration STOP_TIMEOUT = Duration.ofMinutes(2);

  private static final String BINARY =
      System.getenv().getOrDefault("SLUICE_BIN", ROOT.resolve("bin/sluice").toString());

  private final Process process;
  private final String target;
  private final Thread drain;

  /** Starts a server with more flags. Returns once the model is loaded and warm. */
  SluiceServer(String... flags) throws IOException {
    List<String> command = new ArrayList<>(List.of(BINARY, "serve", "--grpc-addr", "127.0.0.1:0", "--http-addr", "",
        "--drain-delay", "0s", "--log-format", "json"));
    command.addAll(List.of(flags));
    process = new ProcessBuilder(command).redirectOutput(new File("/dev/null")).start();
    BufferedReader log = process.errorReader();
    target = serving(log);
    drain = new Thread(() -> log.lines().forEach(line -> { }), "log of the server");
    drain.start();
  }

  /** Reads a server's log until it says where it serves. */
  private String serving(BufferedReader log) throws IOException {
    StringBuilder said = new StringBuilder();
    for (String line; (line = log.readLine()) != null; said.append(line).append('\n')) {
      JsonObject event = line.startsWith("{") ? JsonParser.parseString(line).getAsJsonObject() : new JsonObject();
      if (event.has("grpc_addr")) {
        return event.get("grpc_addr").getAsString();
      }
    }
    throw new IOException("the server does not serve (not set up? run `make setup`):\n" + said);
  }

  String target() {
    return target;
  }

  /** Drains the server, kills it if that takes too long, and fails unless it ends well. */
  @Override
  public void close() throws InterruptedException {
    process.toHandle().destroy(); // SIGTERM. Process.destroy would close the log too, and so end the server by SIGPIPE.
    if (!process.waitFor(STOP_TIMEOUT.toSeconds(), TimeUnit.SECONDS)) {
      process.toHandle().destroyForcibly();
    }
    int code = process.waitFor();
    drain.join();
    if (code != 0) {
      throw new IllegalStateException("the server ended with " + code);
    }
  }

  /** Runs the binary and returns what it prints. */
  static String run(String input, String... arguments) throws IOException, InterruptedException {
    List<String> command = new ArrayList<>(List.of(BINARY));
    command.addAll(List.of(arguments));
    Process process = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start();
    try (var in = process.outputWriter()) {
      in.write(input);
    }
    String output = new String(process.getInputStream().readAllBytes());
    if (process.waitFor() != 0) {
      throw new IOException(command + " failed");
    }
    return output.strip();
  }

  /** Waits until so many requests of the first model run or wait; the test's time limit bounds it. */
  static void untilBusy(Calls client, int want) throws InterruptedException {
    while (client.models().get(0).getReplicasList().stream().mapToInt(r -> r.getRunning() + r.getWaiting()).sum() != want) {
      Thread.sleep(5);
    }
  }
}
