package io.sluiceml.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.grpc.InsecureChannelCredentials;
import io.sluiceml.v1.Message;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What is refused before anything is sent, and what requests begin with. */
class BuilderTest {
  private static String refused(SluiceClient.Builder builder) {
    return assertThrows(IllegalArgumentException.class, builder::build).getMessage();
  }

  @ParameterizedTest
  @ValueSource(strings = {"sluice.example:1", "dns:///192.0.2.1:1", "127.0.0.1.example:1", "dns://127.0.0.1/sluice.example:1"})
  void keysDoNotTravelInClearText(String target) {
    assertTrue(refused(SluiceClient.builder(target).apiKey("k")).contains("needs TLS"));
    SluiceClient.builder(target).apiKey("k").tls().build().close();
    SluiceClient.builder(target).apiKey("k").allowClearTextApiKey().build().close();
  }

  @ParameterizedTest
  @ValueSource(strings = {"localhost:1", "127.0.0.1:1", "[::1]:1", "dns:///localhost:1", "unix:///run/sluice.sock"})
  void keysTravelToThisMachine(String target) {
    SluiceClient.builder(target).apiKey("k").build().close();
  }

  @ParameterizedTest
  @ValueSource(strings = {"", "a b", "a\nb", "schlüssel"})
  void keysThatAreNone(String key) {
    String message = refused(SluiceClient.builder("localhost:1").apiKey(key));
    assertTrue(message.contains("printable ASCII"));
    assertFalse(!key.isEmpty() && message.contains(key), "the error shows the key");
  }

  @Test
  void files(@TempDir Path dir) throws Exception {
    Path missing = dir.resolve("missing.pem");
    Path empty = Files.writeString(dir.resolve("empty.pem"), "no");
    assertThrows(UncheckedIOException.class, SluiceClient.builder("localhost:1").trust(missing)::build);
    assertThrows(UncheckedIOException.class, SluiceClient.builder("localhost:1").clientCertificate(missing, missing)::build);
    assertTrue(refused(SluiceClient.builder("localhost:1").trust(empty)).contains("No certificate data"));
    assertTrue(refused(SluiceClient.builder("localhost:1").clientCertificate(empty, empty)).contains("certificate"));
  }

  @Test
  void contradictions() {
    refused(SluiceClient.builder("localhost:1").tls().credentials(InsecureChannelCredentials.create()));
    refused(SluiceClient.builder("http://localhost:1"));
  }

  @Test
  void requests() {
    var chat = Requests.chat(Requests.system("Be brief."), Requests.user("Hi"), Requests.assistant("Hello!")).build();
    assertEquals(List.of("system", "user", "assistant"),
        chat.getChat().getMessagesList().stream().map(Message::getRole).toList());
    assertEquals("Hello!", chat.getChat().getMessages(2).getContent());
    assertEquals(List.of(1, 2), Requests.tokens(1, 2).getTokens().getIdsList());
    assertEquals("Hi", Requests.prompt("Hi").getPrompt());
  }
}
