package io.sluiceml.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.regex.Pattern;
import javax.tools.ToolProvider;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** The README's programs: the first is run as a newcomer does, with the real server; the others are compiled. */
class ReadmeTest {
  /** What is around the README's fragments: a method that has a client and a request. */
  private static final String METHOD = """
      import io.sluiceml.client.*;
      import io.sluiceml.v1.*;
      import reactor.adapter.JdkFlowAdapter;
      class Fragment {
        void run(SluiceClient client%s) {
          %s
        }
      }
      """;

  private static List<String> programs() throws Exception {
    return Pattern.compile("```java\n(.*?)```", Pattern.DOTALL).matcher(Files.readString(Path.of("README.md"))).results()
        .map(found -> found.group(1)).toList();
  }

  @Test
  void fragmentsCompile(@TempDir Path dir) throws Exception {
    var compiler = ToolProvider.getSystemJavaCompiler();
    for (String fragment : programs().subList(1, programs().size())) {
      String request = fragment.contains("var request") ? "" : ", GenerateRequest request";
      Path file = Files.writeString(dir.resolve("Fragment.java"), METHOD.formatted(request, fragment));
      assertEquals(0, compiler.run(null, null, null, "-proc:none", "-cp", System.getProperty("java.class.path"), file.toString()),
          fragment);
    }
  }

  @Test
  @Timeout(120)
  void firstProgram(@TempDir Path dir) throws Exception {
    String example = Files.readString(Path.of("example/src/main/java/Rivers.java"));
    assertEquals(example, programs().get(0), "the README and the example differ");
    assertTrue(example.contains("127.0.0.1:50051"));
    try (var server = new SluiceServer()) {
      Path file = Files.writeString(dir.resolve("Rivers.java"), example.replace("127.0.0.1:50051", server.target()));
      var java = new ProcessBuilder(Path.of(System.getProperty("java.home"), "bin", "java").toString(),
          "-cp", System.getProperty("java.class.path"), file.toString())
          .redirectError(ProcessBuilder.Redirect.INHERIT).start();
      String said = new String(java.getInputStream().readAllBytes());
      assertEquals(0, java.waitFor(), said);
      assertTrue(Pattern.compile("\\S.*\n\\d+ tokens\n", Pattern.DOTALL).matcher(said).matches(), said);
    }
  }
}
