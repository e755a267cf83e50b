package io.sluiceml.client;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.sluiceml.v1.Delta;
import io.sluiceml.v1.Finished;
import io.sluiceml.v1.GenerateResponse;
import io.sluiceml.v1.Output;
import io.sluiceml.v1.TokenLogprobs;
import io.sluiceml.v1.ToolCall;
import io.sluiceml.v1.ToolCallDelta;
import io.sluiceml.v1.Usage;
import java.util.Comparator;
import java.util.List;

/**
 * A unary answer or a stream's, in one form.
 *
 * @param usage null of a stream that was not read to its end
 * @param deltas null of a unary answer
 */
record Answer(
    String id, String model, List<Output> outputs, Usage usage, List<TokenLogprobs> promptLogprobs, List<Delta> deltas) {
  static Answer of(GenerateResponse response) {
    return new Answer(response.getId(), response.getModel(), response.getOutputsList(), response.getUsage(),
        response.getPromptLogprobsList(), null);
  }

  static Answer of(GenerateStream stream, List<Delta> deltas) {
    List<Output> outputs = stream.finished().stream().sorted(Comparator.comparing(Finished::getIndex))
        .map(finished -> join(finished, deltas)).toList();
    Usage usage = stream.complete() ? stream.usage() : null;
    return new Answer(stream.id(), stream.model(), outputs, usage, stream.promptLogprobs(), deltas);
  }

  /** Joins the deltas of one output. */
  private static Output join(Finished finished, List<Delta> deltas) {
    var output = Output.newBuilder().setIndex(finished.getIndex()).setFinishReason(finished.getFinishReason())
        .setStopSequence(finished.getStopSequence()).setSeed(finished.getSeed());
    StringBuilder text = new StringBuilder();
    StringBuilder reasoning = new StringBuilder();
    for (Delta delta : deltas) {
      if (delta.getIndex() == finished.getIndex()) {
        text.append(delta.getText());
        reasoning.append(delta.getReasoning());
        output.addAllTokenIds(delta.getTokenIdsList()).addAllLogprobs(delta.getLogprobsList());
        delta.getToolCallsList().forEach(fragment -> join(fragment, output));
      }
    }
    return output.setText(text.toString()).setReasoning(reasoning.toString()).build();
  }

  /** Joins a fragment to the calls of an output. */
  private static void join(ToolCallDelta fragment, Output.Builder output) {
    int index = fragment.getIndex();
    if (fragment.getRetracted()) {
      output.removeToolCalls(index);
    } else if (index == output.getToolCallsCount()) {
      output.addToolCallsBuilder().setId(fragment.getId()).setName(fragment.getName()).setArguments(fragment.getArguments());
    } else {
      var call = output.getToolCallsBuilder(index);
      call.setArguments(call.getArguments() + fragment.getArguments());
    }
  }

  /** Checks that a stream has told what this unary answer tells. */
  void checkSame(Answer streamed) {
    assertEquals(outputs.stream().map(Answer::comparable).toList(), streamed.outputs.stream().map(Answer::comparable).toList());
    assertEquals(promptLogprobs, streamed.promptLogprobs);
    assertEquals(usage.toBuilder().clearCachedTokens().build(), streamed.usage.toBuilder().clearCachedTokens().build());
  }

  /** An output without what is drawn anew each time: a seed that the request does not name, and ids of calls. */
  private static Output comparable(Output output) {
    var same = output.toBuilder().clearSeed();
    same.getToolCallsBuilderList().forEach(ToolCall.Builder::clearId);
    return same.build();
  }
}
