/** The cases of clients/conformance: over gRPC, and over Connect by the HTTP address as browsers come. */

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { request as httpsRequest, type RequestOptions } from "node:https";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { fromJson } from "@bufbuild/protobuf";

import { type Client, createClient, type GenerateStream, SluiceError } from "../src/node.js";
import {
  CountTokensRequestSchema,
  type Delta,
  DetokenizeRequestSchema,
  EmbedRequestSchema,
  ExplainRequestSchema,
  type GenerateRequest,
  GenerateRequestSchema,
  ScoreRequestSchema,
  TokenizeRequestSchema,
} from "../src/v1.js";
import { createClient as createWebClient } from "../src/web.js";
import {
  type Answer,
  type Case,
  checkAnswer,
  checkError,
  checkExplanation,
  checkKnown,
  checkSame,
  checkScores,
  checkVectors,
  ofGeneration,
  ofStream,
} from "./conformance.js";
import { root } from "./server.js";

/** Where a server of clients/conformance/servers is. */
interface Place {
  addr: string;
  http: string;
  ca?: string;
  cert?: string;
  certKey?: string;
  keys?: Record<string, string>;
}

const cases = JSON.parse(readFileSync(`${root}clients/conformance/cases.json`, "utf8")) as Case[];
const timeout = 120_000; // milliseconds that a case may take; only a call that hangs takes so long
const stopTimeout = 120_000; // milliseconds that the servers may take to stop before they are killed

let process_: ChildProcess;
let places: Record<string, Place>;

before(async () => {
  // Detached is a process group of its own, which killing takes: `go run` has the servers for a child.
  const command = ["run", "./clients/conformance/servers"];
  process_ = spawn("go", command, { cwd: root, detached: true, stdio: ["pipe", "pipe", "inherit"] });
  for await (const line of createInterface(process_.stdout!)) {
    places = JSON.parse(line) as Record<string, Place>;
    break;
  }
  assert(places, "the servers do not start");
});
after(async () => {
  const exited = once(process_, "exit");
  process_.stdin!.end();
  const late = setTimeout(() => process.kill(-process_.pid!, "SIGKILL"), stopTimeout);
  assert.deepEqual(await exited, [0, null]);
  clearTimeout(late);
});

/** HTTP answers where gRPC finds no connection: to plain text on a port for TLS, and to who shows no certificate. */
const answeredByHTTP: Record<string, string> = { "plain-text": "INTERNAL", "no-certificate": "UNAUTHENTICATED" };

const clients: Record<string, { connect: (c: Case, place: Place) => Client; codes: Record<string, string> }> = {
  "TypeScript": { connect: overGrpc, codes: {} },
  "TypeScript, Connect": { connect: overConnect, codes: answeredByHTTP },
};

for (const [name, { connect, codes }] of Object.entries(clients)) {
  describe(name, () => {
    const passed: string[] = [];
    for (const c of cases) {
      test(c.name, { timeout }, async () => {
        checkKnown(c);
        const place = places[c.server ?? "default"];
        assert(place !== undefined, `unknown server ${c.server}`);
        const client = connect(c, place);
        const code = codes[c.name];
        await run(code === undefined ? c : { ...c, expect: { ...c.expect, code } }, client).finally(() => client.close());
        passed.push(c.name);
      });
    }
    after(() => {
      const folder = process.env["CONFORMANCE_RESULTS"];
      if (folder === undefined) return;
      const file = `${name.toLowerCase().replaceAll(/\W+/g, "-")}.json`;
      writeFileSync(join(folder, file), JSON.stringify({ client: name, passed }));
    });
  });
}

function overGrpc(c: Case, { addr, ...place }: Place): Client {
  const tls = tlsOf(c, place);
  return createClient(addr, { ...retryOf(c), ...keyOf(c, place), ...(tls === undefined ? {} : { tls }) });
}

function overConnect(c: Case, { http, ...place }: Place): Client {
  const tls = tlsOf(c, place);
  const options = { ...retryOf(c), ...keyOf(c, place) };
  if (tls === undefined) return createWebClient(`http://${http}`, options);
  return createWebClient(`https://${http}`, { ...options, ...(tls === true ? {} : { fetch: fetchOver(tls) }) });
}

/** What the server says is what is looked at, unless the case is about what the client makes of it. */
function retryOf({ retry }: Case): { retry?: false } {
  return retry ? {} : { retry: false };
}

/** How to call a server: undefined is plain text, true the system's authorities. */
function tlsOf(c: Case, { ca, cert, certKey }: Partial<Place>): true | undefined | { ca: string; cert?: string; key?: string } {
  if (ca === undefined) return undefined;
  const pem = (file: string): string => readFileSync(file, "utf8");
  switch (c.tls ?? "ca") {
    case "ca":
      return { ca: pem(ca) };
    case "certificate":
      return { ca: pem(ca), cert: pem(cert!), key: pem(certKey!) };
    case "system":
      return true;
    case "none":
      return undefined;
    default:
      assert.fail(`unknown tls ${c.tls}`);
  }
}

function keyOf(c: Case, { keys }: Partial<Place>): { apiKey?: string } {
  if (keys === undefined || c.key === "none") return {};
  const apiKey = keys[c.key ?? "valid"];
  assert(apiKey !== undefined, `unknown key ${c.key}`);
  return { apiKey };
}

/** fetch over node:https, whose authorities and certificate can be chosen; those of the global one cannot. */
function fetchOver(options: RequestOptions): typeof fetch {
  return (input, init = {}) =>
    new Promise((resolve, reject) => {
      const headers = Object.fromEntries(new Headers(init.headers));
      const request = httpsRequest(String(input), { ...options, method: init.method ?? "GET", headers, signal: init.signal! });
      request.on("error", (cause) => reject(init.signal?.aborted ? init.signal.reason : new TypeError("fetch failed", { cause })));
      request.on("response", (message) => {
        const answered = Object.entries(message.headers).map(([name, value]): [string, string] => [name, String(value)]);
        resolve(new Response(Readable.toWeb(message) as ReadableStream, { status: message.statusCode!, headers: answered }));
      });
      request.end(init.body);
    });
}

/** Does what a case says and checks what it expects. */
async function run(c: Case, client: Client): Promise<void> {
  if (c.before !== undefined) await client.generate(fromJson(GenerateRequestSchema, c.before));
  const held: { stream: GenerateStream; ended: Promise<unknown> }[] = [];
  for (let i = 0; i < (c.occupy ?? 0); i++) {
    const stream = client.stream(requestOf(c));
    held.push({ stream, ended: stream.read().catch((error: unknown) => error) });
    await untilBusy(client, i + 1);
  }
  try {
    await call(c, client);
  } finally {
    for (const { stream } of held) stream.cancel();
    await Promise.all(held.map(({ ended }) => ended));
  }
  if (c.expect.idle) await untilBusy(client, 0);
}

async function call(c: Case, client: Client): Promise<void> {
  const limits = c.deadlineMs === undefined ? {} : { timeoutMs: c.deadlineMs };
  const unary = () => attempt(c, async () => ofGeneration(await client.generate(requestOf(c), limits)));
  const streaming = () => attempt(c, () => read(c, client, client.stream(requestOf(c), limits)));
  switch (c.call) {
    case "generate":
      await unary();
      break;
    case "stream":
      await streaming();
      break;
    case "both": {
      const [whole, streamed] = [await unary(), await streaming()];
      if (whole !== undefined && streamed !== undefined) checkSame(whole, streamed);
      break;
    }
    case "score": {
      const scores = await answerOf(c, client.score(fromJson(ScoreRequestSchema, c.request)));
      if (scores !== undefined) checkScores(c.expect, scores);
      break;
    }
    case "explain": {
      const explanation = await answerOf(c, client.explain(fromJson(ExplainRequestSchema, c.request)));
      if (explanation !== undefined) checkExplanation(c.expect, explanation);
      break;
    }
    case "embed": {
      const vectors = await answerOf(c, client.embed(fromJson(EmbedRequestSchema, c.request)));
      if (vectors !== undefined) checkVectors(c.expect, vectors);
      break;
    }
    case "tokenize": {
      const tokens = await answerOf(c, client.tokenize(fromJson(TokenizeRequestSchema, c.request)));
      if (tokens !== undefined) assert.deepEqual(tokens.map((token) => token.id), c.expect.ids);
      break;
    }
    case "detokenize": {
      const { ids } = fromJson(DetokenizeRequestSchema, c.request);
      assert.equal(await answerOf(c, client.detokenize(ids)), c.expect.text);
      break;
    }
    case "countTokens": {
      const request = fromJson(CountTokensRequestSchema, c.request);
      assert.equal(await answerOf(c, client.countTokens({ prompt: request.input.value as string })), c.expect.promptTokens);
      break;
    }
    default:
      assert.fail(`unknown call ${String(c.call)}`);
  }
}

function requestOf(c: Case): GenerateRequest {
  const request = fromJson(GenerateRequestSchema, c.request);
  if (request.input.case === "prompt") request.input.value = request.input.value.repeat(c.promptRepeat ?? 1);
  return request;
}

/** Makes a case's call, as often at once as it says; returns the first answer, undefined where none is to be compared. */
async function attempt(c: Case, once: () => Promise<Answer>): Promise<Answer | undefined> {
  const answers = await Promise.all(Array.from({ length: c.parallel ?? 1 }, () => answerOf(c, once())));
  const first = answers[0];
  if (first === undefined) return undefined;
  if (c.leaveAfter !== undefined) {
    assert.equal(first.usage, undefined);
    assert.equal(first.deltas?.length, c.leaveAfter);
    return undefined;
  }
  for (const answer of answers) {
    checkAnswer(c.expect, answer!);
    assert.equal(answer!.outputs[0]!.text, first.outputs[0]!.text);
  }
  return first;
}

/** Waits for a call to end as the case expects; undefined: it failed, as it had to. */
async function answerOf<T>(c: Case, call: Promise<T>): Promise<T | undefined> {
  const { code } = c.expect;
  if (code === undefined) return call;
  const error = await call.then(() => assert.fail(`no ${code}`), (thrown: unknown) => thrown);
  assert(error instanceof SluiceError, String(error));
  assert.equal(error.code, code, error.message);
  checkError(c.expect, error);
  return undefined;
}

/** Reads a stream as far as the case says. */
async function read(c: Case, client: Client, stream: GenerateStream): Promise<Answer> {
  const deltas: Delta[] = [];
  try {
    for await (const delta of stream) {
      deltas.push(delta);
      if (deltas.length === c.cancelAfter) stream.cancel();
      if (deltas.length === c.stallAfter) await untilBusy(client, 0);
      if (deltas.length === c.leaveAfter) break;
    }
  } catch (error) {
    assert.equal(stream.id !== "", c.expect.started ?? false, `begun before it failed: ${String(error)}`);
    throw error;
  }
  return ofStream(stream, deltas);
}

/** Waits until so many requests of the first model run or wait; the case's timeout bounds it. */
async function untilBusy(client: Client, n: number): Promise<void> {
  for (;;) {
    const busy = (await client.models())[0]!.replicas.reduce((sum, r) => sum + r.running + r.waiting, 0);
    if (busy === n) return;
    await sleep(5);
  }
}
