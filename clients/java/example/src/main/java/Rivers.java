import static io.sluiceml.client.Requests.*;

import io.sluiceml.client.SluiceClient;

public class Rivers {
  public static void main(String[] args) {
    try (var client = SluiceClient.connect("127.0.0.1:50051");
        var stream = client.stream(chat(user("Name three rivers.")).build())) {
      for (var delta : stream) {
        System.out.print(delta.getText());
      }
      System.out.println("\n" + stream.usage().getCompletionTokens() + " tokens");
    }
  }
}
