/** TLS, certificates, keys, a full queue and traces, with the real server. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { context, propagation, trace, TraceFlags } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { W3CTraceContextPropagator } from "@opentelemetry/core";

import { createClient, type NodeClientOptions, SluiceError } from "../src/node.js";
import { opentelemetry } from "../src/opentelemetry.js";
import { createClient as createWebClient } from "../src/web.js";
import { root, Server, sluice } from "./server.js";

// An authority, a server of localhost and a client.
const makeCertificates = `
import sys, trustme
ca = trustme.CA()
ca.cert_pem.write_to_path("ca.pem")
for name in "localhost", "client":
    made = ca.issue_cert(name)
    made.private_key_pem.write_to_path(name + ".key")
    made.cert_chain_pems[0].write_to_path(name + ".pem")
`;

const folder = mkdtempSync(join(tmpdir(), "sluice-typescript-"));
const path = (name: string): string => join(folder, name);
const read = (name: string): string => readFileSync(path(name), "utf8");

let server: Server;
let address: string;
let apiKey: string;
let tls: { ca: string; cert: string; key: string };

before(async () => {
  process.umask(0o077);
  execFileSync(`${root}.venv/bin/python`, ["-c", makeCertificates], { cwd: folder });
  apiKey = sluice(["keys", "new"]).trim();
  writeFileSync(path("keys.yaml"), `clients:\n${sluice(["keys", "hash", "test"], apiKey)}`);
  tls = { ca: read("ca.pem"), cert: read("client.pem"), key: read("client.key") };
  server = await Server.start(
    ...["--tls-cert", path("localhost.pem"), "--tls-key", path("localhost.key"), "--tls-client-ca", path("ca.pem")],
    ...["--api-keys", path("keys.yaml"), "--slots", "1", "--queue", "1", "--trace-file", path("trace.jsonl")],
  );
  address = server.grpcAddr.replace("127.0.0.1", "localhost");
});
after(() => rmSync(folder, { recursive: true, force: true }));

/** The error of a call with options. */
async function refused(options: NodeClientOptions): Promise<SluiceError> {
  const client = createClient(address, { retry: false, ...options });
  const error = await client.models({ timeoutMs: 30_000 }).then(() => assert.fail("not refused"), (thrown: unknown) => thrown);
  client.close();
  assert(error instanceof SluiceError, String(error));
  return error;
}

test("a certificate and a key", async () => {
  const client = createClient(address, { tls, apiKey });
  assert.equal((await client.models()).length, 1);
  client.close();
  const other = createClient(`https://${server.grpcAddr}`, { tls: { ...tls, serverName: "localhost" }, apiKey });
  assert.equal((await other.models()).length, 1);
  other.close();
});

test("no key, a wrong one", async () => {
  const missing = await refused({ tls });
  assert.equal(missing.code, "UNAUTHENTICATED");
  assert.notEqual(missing.reason, "");
  const wrong = await refused({ tls, apiKey: sluice(["keys", "new"]).trim() });
  assert.equal(wrong.code, "UNAUTHENTICATED");
  assert.notEqual(wrong.reason, "");
  assert.equal((await refused({ tls, apiKey: "x" })).message.includes('"x"'), false);
});

test("long requests that end while they are sent", async () => {
  const long = "x".repeat(10 << 20);
  const stranger = createClient(address, { tls, apiKey: "wrong", retry: false });
  for (let i = 0; i < 3; i++) {
    const error = await stranger.stream(long).read().catch((thrown: unknown) => thrown);
    assert.equal((error as SluiceError).code, "UNAUTHENTICATED", String(error));
  }
  stranger.close();
  const client = createClient(address, { tls, apiKey });
  const error = await client.stream(long, { timeoutMs: 5 }).read().catch((thrown: unknown) => thrown);
  assert.equal((error as SluiceError).code, "DEADLINE_EXCEEDED", String(error));
  assert.equal((await client.models()).length, 1);
  client.close();
});

test("what is no connection is UNAVAILABLE", async () => {
  assert.equal((await refused({ tls: true, apiKey })).code, "UNAVAILABLE"); // an authority that Node does not know
  assert.equal((await refused({ tls: { ...tls, serverName: "example.com" }, apiKey })).code, "UNAVAILABLE");
});

test("no certificate, no TLS", async () => {
  // The server closes these connections when they seem to be open, which Node reports in more than one way.
  for (const options of [{ tls: { ca: tls.ca }, apiKey }, {}]) {
    assert.equal((await refused(options)).code, "UNAVAILABLE");
  }
});

test("a full queue", async () => {
  const client = createClient(address, { tls, apiKey, retry: false });
  const endless = { prompt: "x", sampling: { maxTokens: 2000, ignoreEos: true } };
  const streams = [client.stream(endless), client.stream(endless)];
  await streams[0]!.events().next();
  const waits = streams[1]!.read().catch((error: unknown) => error); // sends nothing while it waits
  while ((await client.models())[0]!.replicas[0]!.waiting === 0);
  const error = await client.generate("y").then(() => assert.fail("not refused"), (thrown: unknown) => thrown);
  assert(error instanceof SluiceError);
  assert.deepEqual([error.code, error.reason], ["RESOURCE_EXHAUSTED", "QUEUE_FULL"]);
  assert(error.retryAfterMs! > 0);

  // A client that tries again gets its answer once there is room.
  const retry = { maxAttempts: 100, retryableStatusCodes: ["RESOURCE_EXHAUSTED"] as const };
  const patient = createClient(address, { tls, apiKey, retry });
  const answer = patient.generate({ prompt: "y", sampling: { maxTokens: 1 } });
  streams.forEach((stream) => stream.cancel());
  assert.equal(((await waits) as SluiceError).code, "CANCELLED");
  assert.equal((await answer).usage.completionTokens, 1);
  patient.close();
  client.close();
});

test("keys go in clear text to this machine alone", () => {
  for (const connect of [createClient, createWebClient]) {
    assert.throws(() => connect("http://sluice.example:1", { apiKey }), /needs TLS/);
    connect("http://sluice.example:1", { apiKey, allowClearTextApiKey: true }).close();
    for (const host of ["localhost", "127.0.0.1", "[::1]"]) connect(`http://${host}:1`, { apiKey }).close();
    connect("https://sluice.example", { apiKey }).close();
  }
  assert.throws(() => createClient("sluice.example:1", { apiKey }), /needs TLS/);
  for (const bad of ["", "a b", "a\nb", "schlüssel"]) {
    assert.throws(() => createClient("localhost:1", { apiKey: bad }), /printable ASCII/);
  }
  assert.throws(() => createClient("https://localhost:1", { tls: false }), /contradict/);
  assert.throws(() => createClient("http://localhost:1", { tls: true }), /contradict/);
  assert.throws(() => createClient("ftp://localhost:1"), /neither/);
});

test("traces go on in the server", async () => {
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  propagation.setGlobalPropagator(new W3CTraceContextPropagator());
  const ids = ["0af7651916cd43dd8448eb211c80319c", "4bf92f3577b34da6a3ce929d0e0e4736", "5b8efff798038103d269b633813fc60c"];
  const parent = (traceId: string) =>
    trace.setSpanContext(context.active(), { traceId, spanId: "b7ad6b7169203331", traceFlags: TraceFlags.SAMPLED });
  const init = { prompt: "x", sampling: { maxTokens: 1 } };
  const client = createClient(address, { tls, apiKey, interceptors: [opentelemetry()] });
  await client.generate(init, { traceparent: `00-${ids[0]}-b7ad6b7169203331-01` });
  await context.with(parent(ids[1]!), () => client.generate(init));
  await context.with(parent(ids[2]!), () => client.stream(init).read());
  client.close();
  await server.stop(); // writes what it has
  const written = read("trace.jsonl");
  for (const id of ids) assert(written.includes(id), `no span of ${id}`);
});
