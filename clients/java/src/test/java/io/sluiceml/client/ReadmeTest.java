package io.sluiceml.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** The README's first program, run as a newcomer does, with the real server. */
class ReadmeTest {
  @Test
  @Timeout(120)
  void firstProgram(@TempDir Path dir) throws Exception {
    Matcher program = Pattern.compile("```java\n(.*?)```", Pattern.DOTALL).matcher(Files.readString(Path.of("README.md")));
    assertTrue(program.find());
    String example = Files.readString(Path.of("example/src/main/java/Rivers.java"));
    assertEquals(example, program.group(1), "the README and the example differ");
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
