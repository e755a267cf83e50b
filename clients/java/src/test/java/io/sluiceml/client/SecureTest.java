package io.sluiceml.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.grpc.Status;
import io.opentelemetry.api.OpenTelemetry;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.SpanContext;
import io.opentelemetry.api.trace.TraceFlags;
import io.opentelemetry.api.trace.TraceState;
import io.opentelemetry.api.trace.propagation.W3CTraceContextPropagator;
import io.opentelemetry.context.propagation.ContextPropagators;
import io.sluiceml.v1.GenerateRequest;
import io.sluiceml.v1.Sampling;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.KeyStore;
import java.util.Base64;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Mutual TLS by names, keys and traces, with the real server. The conformance suite has more of TLS and keys. */
@Timeout(120)
class SecureTest {
  private static final GenerateRequest REQUEST =
      Requests.prompt("x").setSampling(Sampling.newBuilder().setMaxTokens(1)).build();
  private static final String PASSWORD = "changeit";

  @TempDir
  static Path dir;

  /** Makes NAME.pem, a certificate of a name that is its own authority, and NAME.key. */
  private static void writeCertificate(String name) throws Exception {
    Path store = dir.resolve(name + ".p12");
    var keytool = new ProcessBuilder(Path.of(System.getProperty("java.home"), "bin", "keytool").toString(), "-genkeypair",
        "-keystore", store.toString(), "-storepass", PASSWORD, "-alias", name, "-keyalg", "EC", "-dname", "CN=" + name,
        "-ext", "san=dns:" + name, "-ext", "bc:critical=ca:true").inheritIO().start();
    assertEquals(0, keytool.waitFor());
    KeyStore keys = KeyStore.getInstance(store.toFile(), PASSWORD.toCharArray());
    writePem(name + ".pem", "CERTIFICATE", keys.getCertificate(name).getEncoded());
    writePem(name + ".key", "PRIVATE KEY", keys.getKey(name, PASSWORD.toCharArray()).getEncoded());
  }

  private static void writePem(String file, String type, byte[] der) throws IOException {
    String text = Base64.getMimeEncoder().encodeToString(der);
    writePrivate(file, "-----BEGIN %s-----\n%s\n-----END %1$s-----\n".formatted(type, text));
  }

  /** The server takes no secrets that others can read. */
  private static void writePrivate(String file, String text) throws IOException {
    var mine = PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------"));
    Files.writeString(Files.createFile(dir.resolve(file), mine), text);
  }

  private static String path(String file) {
    return dir.resolve(file).toString();
  }

  @Test
  void namesKeysAndTraces() throws Exception {
    writeCertificate("sluice.example");
    writeCertificate("client");
    String key = SluiceServer.run("", "keys", "new");
    writePrivate("keys.yaml", "clients:\n" + SluiceServer.run(key, "keys", "hash", "test") + "\n");
    List<String> traces = List.of("0af7651916cd43dd8448eb211c80319c", "4bf92f3577b34da6a3ce929d0e0e4736");
    String parent = "b7ad6b7169203331";
    var openTelemetry = OpenTelemetry.propagating(ContextPropagators.create(W3CTraceContextPropagator.getInstance()));
    var span = Span.wrap(SpanContext.create(traces.get(1), parent, TraceFlags.getSampled(), TraceState.getDefault()));
    try (var server = new SluiceServer("--tls-cert", path("sluice.example.pem"), "--tls-key", path("sluice.example.key"),
            "--tls-client-ca", path("client.pem"), "--api-keys", path("keys.yaml"), "--trace-file", path("trace.jsonl"))) {
      var builder = SluiceClient.builder(server.target()).retry(RetryPolicy.NONE).apiKey(key)
          .trust(dir.resolve("sluice.example.pem"))
          .clientCertificate(dir.resolve("client.pem"), dir.resolve("client.key"))
          .intercept(new OpenTelemetryPropagation(openTelemetry));
      try (var client = builder.build()) { // the certificate is of another name than the address
        var e = assertThrows(SluiceException.class, () -> client.generate(REQUEST));
        assertEquals(Status.Code.UNAVAILABLE, e.code());
        assertTrue(e.description().contains("No subject alternative names"), e.description());
      }
      try (var client = builder.serverName("sluice.example").build()) {
        client.withTraceparent("00-" + traces.get(0) + "-" + parent + "-01").generate(REQUEST);
        try (var scope = span.makeCurrent(); var stream = client.stream(REQUEST)) {
          assertFalse(stream.events().next().getStarted().getId().isEmpty());
          stream.read();
        }
      }
    }
    // The server has ended, and so has written what it has.
    String written = Files.readString(dir.resolve("trace.jsonl"));
    for (String id : traces) {
      assertTrue(written.contains(id), "no span of " + id);
    }
  }
}
