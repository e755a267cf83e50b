/** The wrapper against a scripted server, for what the real one does not do on demand. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { create, equals } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, type HandlerContext } from "@connectrpc/connect";
import { context, propagation, trace, TraceFlags } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { W3CTraceContextPropagator } from "@opentelemetry/core";

import { RetryInfoSchema } from "../src/gen/google/rpc/error_details_pb.js";
import { createClient, type NodeClientOptions, SluiceError } from "../src/node.js";
import { opentelemetry } from "../src/opentelemetry.js";
import {
  DeltaSchema,
  type GenerateRequest,
  GenerateRequestSchema,
  GenerateStreamResponseSchema,
  SummarySchema,
} from "../src/v1.js";
import { createClient as createWebClient } from "../src/web.js";
import { scripted } from "./server.js";

const delta = (text: string) =>
  create(GenerateStreamResponseSchema, { event: { case: "delta", value: create(DeltaSchema, { text }) } });
const summary = create(GenerateStreamResponseSchema, {
  event: { case: "summary", value: create(SummarySchema, { usage: { completionTokens: 2 } }) },
});

const unavailable = () => new ConnectError("drains", Code.Unavailable);
const full = (pushback: string) =>
  new ConnectError("full", Code.ResourceExhausted, { "grpc-retry-pushback-ms": pushback }, [
    { desc: RetryInfoSchema, value: { retryDelay: durationFromMs(20) } },
  ]);

/** Runs a server that throws what `refuse` gives for each try, and answers once that is undefined. */
async function attempts(
  refuse: (attempt: number) => unknown,
  options: NodeClientOptions,
  use: (client: ReturnType<typeof createClient>) => Promise<unknown>,
): Promise<number> {
  let attempt = 0;
  const judge = (): void => {
    const error = refuse(++attempt);
    if (error !== undefined) throw error;
  };
  const server = await scripted({
    generate: () => (judge(), { outputs: [{ text: "ok" }] }),
    generateStream: async function* () {
      judge();
      yield* [delta("o"), delta("k"), summary];
    },
    score: () => (judge(), {}),
  });
  const client = createClient(server.addr, options);
  try {
    await use(client);
  } finally {
    client.close();
    server.close();
  }
  return attempt;
}

const fast = { initialBackoffMs: 1 };
const code = (want: string) => (error: unknown) => error instanceof SluiceError && error.code === want;

test("what is unavailable is tried again", async () => {
  const refuse = (attempt: number) => (attempt < 3 ? unavailable() : undefined);
  const one = await attempts(refuse, { retry: fast }, async (c) => assert.equal((await c.generate("x")).text, "ok"));
  const many = await attempts(refuse, { retry: fast }, async (c) => assert.equal(await c.stream("x").read(), "ok"));
  assert.deepEqual([one, many], [3, 3]);
});

test("as often as the policy says", async () => {
  const rejects = (c: ReturnType<typeof createClient>) => assert.rejects(c.generate("x"), code("UNAVAILABLE"));
  assert.equal(await attempts(unavailable, { retry: fast }, rejects), 4);
  assert.equal(await attempts(unavailable, { retry: { ...fast, maxAttempts: 2 } }, rejects), 2);
  assert.equal(await attempts(unavailable, { retry: false }, rejects), 1);
});

test("what is full is left to the caller", async () => {
  const rejects = (c: ReturnType<typeof createClient>) => assert.rejects(c.generate("x"), code("RESOURCE_EXHAUSTED"));
  assert.equal(await attempts(() => full("20"), { retry: fast }, rejects), 1);
});

test("the server says when", async () => {
  const retryableStatusCodes = ["RESOURCE_EXHAUSTED"] as const;
  const retry = { initialBackoffMs: 3_600_000, maxBackoffMs: 3_600_000, retryableStatusCodes };
  const refuse = (attempt: number) => (attempt < 2 ? full("20") : undefined);
  const start = performance.now();
  assert.equal(await attempts(refuse, { retry }, (c) => c.generate("x")), 2);
  assert(performance.now() - start >= 20);
  assert.equal(await attempts(refuse, { retry }, (c) => c.stream("x").read()), 2);
  const rejects = (c: ReturnType<typeof createClient>) => assert.rejects(c.generate("x"), code("RESOURCE_EXHAUSTED"));
  for (const never of ["-1", "soon", ""]) {
    assert.equal(await attempts(() => full(never), { retry: { ...fast, retryableStatusCodes } }, rejects), 1);
  }
  // Longer than the call has.
  assert.equal(await attempts(() => full("3600000"), { retry, timeoutMs: 60_000 }, rejects), 1);
});

test("nothing else is tried again", async () => {
  for (const c of [Code.InvalidArgument, Code.Internal, Code.Aborted, Code.Unauthenticated]) {
    const call = (client: ReturnType<typeof createClient>) => assert.rejects(client.score({ prompt: "x" }), SluiceError);
    assert.equal(await attempts(() => new ConnectError("no", c), { retry: fast }, call), 1);
  }
});

test("no wait goes beyond the deadline or a cancel", async () => {
  const slow = { initialBackoffMs: 60_000, maxBackoffMs: 60_000 };
  await attempts(unavailable, { retry: slow, timeoutMs: 5000 }, (c) => assert.rejects(c.generate("x"), code("UNAVAILABLE")));
  const controller = new AbortController();
  const refuse = () => (setTimeout(() => controller.abort(), 20), unavailable());
  const call = (c: ReturnType<typeof createClient>) => assert.rejects(c.generate("x", { signal: controller.signal }), code("CANCELLED"));
  assert.equal(await attempts(refuse, { retry: slow }, call), 1);
});

test("a wait of months is no wait of nothing", async () => {
  const retry = { retryableStatusCodes: ["RESOURCE_EXHAUSTED"] as const };
  const controller = new AbortController();
  const refuse = () => (setTimeout(() => controller.abort(), 200), full("4294967296"));
  const call = (c: ReturnType<typeof createClient>) => assert.rejects(c.generate("x", { signal: controller.signal }), code("CANCELLED"));
  assert.equal(await attempts(refuse, { retry }, call), 1);
});

test("what has begun is not tried again", async () => {
  let calls = 0;
  const server = await scripted({
    generateStream: async function* () {
      calls++;
      yield delta("half");
      throw unavailable();
    },
  });
  const client = createClient(server.addr, { retry: fast });
  const texts: string[] = [];
  const read = async () => {
    for await (const text of client.stream("x").text()) texts.push(text);
  };
  await assert.rejects(read(), code("UNAVAILABLE"));
  assert.deepEqual([texts, calls], [["half"], 1]);
  client.close();
  server.close();
});

test("events of a newer server, and none at the end", async () => {
  let last = [summary];
  const server = await scripted({
    generateStream: async function* () {
      yield* [create(GenerateStreamResponseSchema), delta("a"), ...last];
    },
  });
  const client = createClient(server.addr);
  assert.equal(await client.stream("x").read(), "a");
  last = [];
  await assert.rejects(client.stream("x").read(), /INTERNAL: the stream ended without its summary/);
  client.close();
  server.close();
});

test("headers and deadlines reach the server", async () => {
  const seen: (string | null)[] = [];
  let left: number | undefined;
  const server = await scripted({
    generate: (_, { requestHeader, timeoutMs }: HandlerContext) => {
      seen.push(...["authorization", "traceparent", "x-more"].map((name) => requestHeader.get(name)));
      left = timeoutMs();
      return {};
    },
  });
  const client = createClient(server.addr, { apiKey: "secret", timeoutMs: 30_000 });
  await client.generate("x", { traceparent: "00-a-b-01", headers: { "x-more": "1" } });
  assert.deepEqual(seen, ["Bearer secret", "00-a-b-01", "1"]);
  assert(left! > 0 && left! <= 30_000);
  client.close();
  server.close();
});

test("the trace of a call wins", async () => {
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  propagation.setGlobalPropagator(new W3CTraceContextPropagator());
  const seen: (string | null)[] = [];
  const server = await scripted({
    generate: (_, { requestHeader }: HandlerContext) => {
      seen.push(requestHeader.get("traceparent"));
      return {};
    },
  });
  const client = createClient(server.addr, { interceptors: [opentelemetry()] });
  const traceId = "0af7651916cd43dd8448eb211c80319c";
  const active = trace.setSpanContext(context.active(), { traceId, spanId: "b7ad6b7169203331", traceFlags: TraceFlags.SAMPLED });
  await context.with(active, async () => {
    await client.generate("x");
    await client.generate("x", { traceparent: "00-a-b-01" });
  });
  assert.deepEqual(seen, [`00-${traceId}-b7ad6b7169203331-01`, "00-a-b-01"]);
  client.close();
  server.close();
});

test("exactly one input", async () => {
  const client = createClient();
  // @ts-expect-error: the types say so too
  await assert.rejects(client.generate({ sampling: {} }), TypeError);
  assert.throws(() => client.stream({ prompt: "x", messages: [] }), TypeError);
});

test("closing cancels what runs", async () => {
  const server = await scripted({
    generateStream: async function* (_, { signal }: HandlerContext) {
      yield delta("a");
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
    },
  });
  const client = createClient(server.addr);
  const read = async () => {
    for await (const _ of client.stream("x")) client.close();
  };
  await assert.rejects(read(), code("CANCELLED"));
  server.close();
});

test("nobody there", async () => {
  for (const client of [createClient("127.0.0.1:1", { retry: fast }), createWebClient("http://127.0.0.1:1", { retry: fast })]) {
    await assert.rejects(client.models(), code("UNAVAILABLE"));
    await assert.rejects(client.stream("x").read(), code("UNAVAILABLE"));
    client.close();
  }
});

test("a whole message is sent as it is", async () => {
  let got: GenerateRequest | undefined;
  const server = await scripted({ generate: (request) => ((got = request), {}) });
  const client = createClient(server.addr);
  const request = create(GenerateRequestSchema, { input: { case: "prompt", value: "x" }, requestId: "r" });
  await client.generate(request);
  assert(got !== undefined && equals(GenerateRequestSchema, got, request));
  client.close();
  server.close();
});
