/** The client against the real server: over gRPC, and over Connect by the HTTP address. */

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";

import { type Client, createClient, FinishReason, type GenerateInit, ModelState, Pooling, SluiceError } from "../src/node.js";
import type { Delta } from "../src/v1.js";
import { createClient as createWebClient } from "../src/web.js";
import { idle, model, root, running, Server } from "./server.js";

const capital = "The capital of France is";
const question = [{ role: "user", content: "Name three rivers." }];
const endless: GenerateInit = { prompt: capital, sampling: { maxTokens: 2000, ignoreEos: true } };
const prompts = [
  capital,
  "Translate to Chinese: 你好，世界。今天天气很好，我们去公园吧。",
  "Repeat these emoji: 😀🎉👩‍👩‍👧‍👦🇨🇭 😀🎉👩‍👩‍👧‍👦🇨🇭 😀",
];

let server: Server;
before(async () => void (server = await Server.start()));
after(() => server.stop());

/** Checks that a call fails with a code, and returns the error. */
async function fails(call: Promise<unknown>, code: string): Promise<SluiceError> {
  const error = await call.then(() => assert.fail(`no ${code}`), (thrown: unknown) => thrown);
  assert(error instanceof SluiceError, String(error));
  assert.equal(error.code, code, error.message);
  return error;
}

const transports: Record<string, () => Client> = {
  "gRPC": () => createClient(server.grpcAddr),
  "Connect by HTTP": () => createWebClient(`http://${server.httpAddr}`),
};

for (const [name, connect] of Object.entries(transports)) {
  describe(name, { timeout: 120_000 }, () => {
    let client: Client;
    before(() => void (client = connect()));
    after(() => client.close());

    test("unary", async () => {
      const answer = await client.generate({
        prompt: capital,
        sampling: { maxTokens: 12, temperature: 0 },
        output: { tokenIds: true },
      });
      assert.match(answer.text, /Paris/);
      assert.equal(answer.model, model);
      assert.notEqual(answer.id, "");
      assert.equal(answer.usage.promptTokens, await client.countTokens(capital));
      assert.equal(answer.usage.completionTokens, answer.outputs[0]!.tokenIds.length);
      assert(answer.timings.timeToFirstToken!.nanos > 0);
    });

    for (const prompt of prompts) {
      test(`joined stream equals unary: ${prompt.slice(0, 24)}`, async () => {
        const init = { prompt, sampling: { maxTokens: 48, temperature: 0, ignoreEos: true } };
        const whole = await client.generate(init);
        const stream = client.stream(init);
        const texts: string[] = [];
        for await (const text of stream.text()) texts.push(text);
        assert.equal(texts.join(""), whole.text);
        assert(texts.length > 1);
        assert.equal(stream.model, model);
        assert.notEqual(stream.id, "");
        assert.deepEqual(stream.finished.map((f) => f.finishReason), [FinishReason.LENGTH]);
        assert.equal(stream.usage?.promptTokens, whole.usage.promptTokens);
        assert.equal(stream.usage?.completionTokens, 48);
        assert(stream.timings?.decode);
      });
    }

    test("a conversation, sampled with a seed", async () => {
      const init = { messages: question, sampling: { maxTokens: 32, temperature: 0.9, topP: 0.9, seed: 7n } };
      const whole = await client.generate(init);
      assert.equal(await client.stream(init).read(), whole.text);
      assert.equal(whole.outputs[0]!.seed, 7n);
    });

    test("events come in their order", async () => {
      const cases: string[] = [];
      const init = { prompt: capital, sampling: { maxTokens: 3, temperature: 0 }, output: { promptLogprobs: 0, logprobs: 2 } };
      const stream = client.stream(init);
      for await (const event of stream.events()) if (cases.at(-1) !== event.case) cases.push(event.case);
      assert.deepEqual(cases, ["started", "prompt", "delta", "finished", "summary"]);
      const bytes = stream.promptLogprobs.map((p) => p.chosen!.token);
      assert.equal(Buffer.concat(bytes).toString(), capital);
    });

    test("several outputs", async () => {
      const init = { prompt: capital, sampling: { maxTokens: 8, temperature: 1, seed: 3n, n: 3 } };
      const answer = await client.generate(init);
      const deltas: Delta[] = [];
      for await (const delta of client.stream(init)) deltas.push(delta);
      assert.deepEqual(answer.outputs.map((o) => o.seed), [3n, 4n, 5n]);
      for (const { index, text } of answer.outputs) {
        assert.equal(deltas.filter((d) => d.index === index).map((d) => d.text).join(""), text);
      }
    });

    test("stop", async () => {
      const answer = await client.generate({
        prompt: "One, two, three, four,",
        sampling: { maxTokens: 40, temperature: 0 },
        stop: { strings: ["seven"] },
      });
      assert.equal(answer.outputs[0]!.finishReason, FinishReason.STOP_SEQUENCE);
      assert.equal(answer.outputs[0]!.stopSequence, "seven");
      assert.doesNotMatch(answer.text, /seven/);
    });

    test("a constraint", async () => {
      const answer = await client.generate({
        messages: question,
        sampling: { maxTokens: 40 },
        constraint: { kind: { case: "choice", value: { $typeName: "sluice.v1.Choice", choices: ["Aare", "Rhine"] } } },
      });
      assert.match(answer.text, /^(Aare|Rhine)$/);
    });

    test("tokens", async () => {
      const text = "你好 👩‍👩‍👧‍👦!";
      const tokens = await client.tokenize({ text, addSpecialTokens: false });
      assert.equal(Buffer.concat(tokens.map((t) => t.bytes)).toString(), text);
      const ids = tokens.map((t) => t.id);
      assert.equal(await client.detokenize(ids), text);
      assert.equal((await client.generate({ tokens: ids, sampling: { maxTokens: 1 } })).usage.promptTokens, ids.length);
      assert((await client.countTokens({ messages: question })) > (await client.countTokens(question[0]!.content)));
    });

    test("scores and explanations", async () => {
      const [paris, banana] = await client.score({ prompt: capital, continuations: [" Paris", " banana"] });
      assert(paris!.logLikelihood > banana!.logLikelihood);
      const { attributions } = await client.explain({ prompt: "It rains. The capital of France is", answer: " Paris" });
      assert.equal(attributions.length, 2);
      assert(attributions[1]!.effect > attributions[0]!.effect);
    });

    test("embeddings", async () => {
      const texts = ["The cat sleeps.", "A rocket flies to the moon."];
      const [cat, rocket] = await client.embed(texts);
      assert.equal(cat!.length, (await client.model()).embeddingSize);
      assert(Math.abs(cat!.reduce((sum, x) => sum + x * x, 0) - 1) < 1e-5);
      const ids = (await client.tokenize(texts[1]!)).map((t) => t.id);
      assert.deepEqual(await client.embed({ inputs: [ids] }), [rocket]); // alone, to the bit
      const [short] = await client.embed({ inputs: texts, dimensions: 8, normalize: false, pooling: Pooling.LAST });
      assert.equal(short!.length, 8);
      await assert.rejects(client.embed(["x", ""]), (e) => e instanceof SluiceError && e.fieldViolations[0]?.field === "inputs[1].text");
    });

    test("models", async () => {
      const [first] = await client.models();
      assert.equal(first!.name, model);
      assert.equal(first!.state, ModelState.READY);
      assert.equal((await client.model("default")).name, model);
    });

    test("leaving the loop frees the slot", async () => {
      const stream = client.stream(endless);
      for await (const delta of stream) {
        assert.notEqual(delta.text, "");
        assert.equal(await running(client), 1);
        break;
      }
      await idle(client);
      assert.equal(stream.usage, undefined);
      for await (const _ of stream) assert.fail("a stream goes on after its end");
    });

    test("cancel mid-stream", async () => {
      const controller = new AbortController();
      const reason = new Error("changed my mind");
      const read = (async () => {
        for await (const _ of client.stream(endless, { signal: controller.signal })) controller.abort(reason);
      })();
      const error = await fails(read, "CANCELLED");
      assert.equal((error.cause as Error).cause, reason);
      await idle(client);
      const stream = client.stream(endless);
      const other = fails(stream.read(), "CANCELLED");
      while ((await running(client)) === 0);
      stream.cancel();
      await other;
      await idle(client);
    });

    test("a cancelled signal cancels at once", async () => {
      await fails(client.generate(capital, { signal: AbortSignal.abort() }), "CANCELLED");
      await fails(client.stream(capital, { signal: AbortSignal.abort() }).read(), "CANCELLED");
    });

    test("deadline", async () => {
      const error = await fails(client.generate(endless, { timeoutMs: 300 }), "DEADLINE_EXCEEDED");
      assert(["TOO_LATE", ""].includes(error.reason), error.reason); // refused at admission, or stopped
      await fails(client.stream(endless, { timeoutMs: 300 }).read(), "DEADLINE_EXCEEDED");
      await fails(client.stream(endless, { signal: AbortSignal.timeout(300) }).read(), "DEADLINE_EXCEEDED");
      await fails(client.generate(endless, { timeoutMs: 0 }), "DEADLINE_EXCEEDED");
      await idle(client);
    });

    test("bad fields", async () => {
      const init = { prompt: "x", sampling: { topP: 1.5, temperature: NaN, minP: -0.1 } };
      const error = await fails(client.generate(init), "INVALID_ARGUMENT");
      const fields = error.fieldViolations.map((v) => v.field).sort();
      assert.deepEqual(fields, ["sampling.min_p", "sampling.temperature", "sampling.top_p"]);
      assert(error.fieldViolations.every((v) => v.description !== ""));
      const stream = client.stream("");
      assert.deepEqual((await fails(stream.read(), "INVALID_ARGUMENT")).fieldViolations.map((v) => v.field), ["prompt"]);
      assert.equal(stream.id, "");
    });

    test("unknown model", async () => {
      const error = await fails(client.generate({ prompt: "x", model: "gpt-9" }), "NOT_FOUND");
      assert.equal(error.resource, "gpt-9");
      assert.equal((await fails(client.stream({ prompt: "x", model: "gpt-9" }).read(), "NOT_FOUND")).resource, "gpt-9");
    });

    test("what the admin address alone takes", async () => {
      assert.equal((await fails(client.loadModel({ name: "x" }), "PERMISSION_DENIED")).reason, "ADMIN_ONLY");
      assert.equal((await fails(client.unloadModel("x"), "PERMISSION_DENIED")).reason, "ADMIN_ONLY");
    });

    test("big prompts", async () => {
      const prompt = "All work and no play makes Jack a dull boy. ".repeat(100);
      const answer = await client.generate({ prompt, sampling: { maxTokens: 1 } });
      assert.equal(answer.usage.promptTokens, await client.countTokens(prompt));
      assert(answer.usage.promptTokens > 1000);
      const error = await fails(client.generate("x".repeat(10 << 20)), "INVALID_ARGUMENT");
      assert.deepEqual(error.fieldViolations.map((v) => v.field), ["prompt"]);
      // Over the limit of messages.
      const huge = "x".repeat(17 << 20);
      await fails(client.stream(huge).read(), "RESOURCE_EXHAUSTED");
    });

    test("100 parallel streams", async () => {
      const init = { prompt: capital, sampling: { maxTokens: 8, temperature: 0 } };
      const { text } = await client.generate(init);
      const texts = await Promise.all(Array.from({ length: 100 }, () => client.stream(init).read()));
      assert.deepEqual(texts, Array.from({ length: 100 }, () => text));
      await idle(client);
    });
  });
}

test("the first example of the README", () => {
  const readme = readFileSync(`${root}clients/typescript/README.md`, "utf8");
  const [, example = ""] = /```ts\n(.*?)```/s.exec(readme) ?? [];
  assert.match(example, /127\.0\.0\.1:50051/);
  const file = fileURLToPath(new URL("readme.mjs", import.meta.url)); // finds the built package by its own name
  writeFileSync(file, example.replace("127.0.0.1:50051", server.grpcAddr));
  assert.match(execFileSync(process.execPath, [file], { encoding: "utf8" }), /\S.*\n\d+ tokens\n$/s);
});
