package io.sluiceml.client;

import io.sluiceml.v1.Chat;
import io.sluiceml.v1.EmbedRequest;
import io.sluiceml.v1.GenerateRequest;
import io.sluiceml.v1.Message;
import io.sluiceml.v1.Tokens;
import java.util.Arrays;

/**
 * Short ways to begin requests. They return a builder, on which every other field can be set; what is left out takes the
 * model's default, and where the model has none the server's:
 *
 * <pre>{@code
 * GenerateRequest request = Requests.prompt("The capital of France is")
 *     .setSampling(Sampling.newBuilder().setMaxTokens(16).setTemperature(0))
 *     .build();
 * }</pre>
 */
public final class Requests {
  private Requests() {}

  /** Begins a request that continues a text. */
  public static GenerateRequest.Builder prompt(String text) {
    return GenerateRequest.newBuilder().setPrompt(text);
  }

  /** Begins a request that continues token ids, which are taken as they are. */
  public static GenerateRequest.Builder tokens(int... ids) {
    return GenerateRequest.newBuilder()
        .setTokens(Tokens.newBuilder().addAllIds(Arrays.stream(ids).boxed().toList()));
  }

  /** Begins a request that continues a conversation, oldest message first, through the model's own chat template. */
  public static GenerateRequest.Builder chat(Message... messages) {
    return GenerateRequest.newBuilder().setChat(Chat.newBuilder().addAllMessages(Arrays.asList(messages)));
  }

  /** Begins a request for the vectors of texts. */
  public static EmbedRequest.Builder texts(String... texts) {
    EmbedRequest.Builder request = EmbedRequest.newBuilder();
    for (String text : texts) {
      request.addInputsBuilder().setText(text);
    }
    return request;
  }

  /** Makes a message that tells the model how to behave. */
  public static Message system(String content) {
    return message("system", content);
  }

  /** Makes a message of the one who asks. */
  public static Message user(String content) {
    return message("user", content);
  }

  /** Makes a message that the model gave earlier. */
  public static Message assistant(String content) {
    return message("assistant", content);
  }

  private static Message message(String role, String content) {
    return Message.newBuilder().setRole(role).setContent(content).build();
  }
}
