/** What the cases of clients/conformance expect, as its README says. */

import assert from "node:assert/strict";

import { clone, create, equals, type JsonObject } from "@bufbuild/protobuf";

import type { Generation, GenerateStream, SluiceError } from "../src/public.js";
import {
  type ContinuationScore,
  type Delta,
  type ExplainResponse,
  FinishReasonSchema,
  type Output,
  OutputSchema,
  type TokenLogprobs,
  TokenLogprobsSchema,
  ToolCallSchema,
  type Usage,
  UsageSchema,
} from "../src/v1.js";

/** An entry of cases.json. */
export interface Case {
  name: string;
  about: string;
  call: "generate" | "stream" | "both" | "score" | "explain" | "embed" | "tokenize" | "detokenize" | "countTokens";
  request: JsonObject;
  before?: JsonObject;
  server?: string;
  key?: string;
  tls?: string;
  promptRepeat?: number;
  parallel?: number;
  occupy?: number;
  cancelAfter?: number;
  leaveAfter?: number;
  stallAfter?: number;
  deadlineMs?: number;
  retry?: boolean;
  expect: Expectation;
}

/** What a case expects; what is not there is not checked. */
export interface Expectation {
  code?: string;
  started?: boolean;
  fields?: string[];
  reason?: string;
  resource?: string;
  retryAfter?: boolean;
  text?: string;
  textPrefix?: string;
  textIn?: string[];
  jsonKeys?: string[];
  id?: string;
  finishReasons?: string[];
  stopSequence?: string;
  toolCalls?: { name: string; arguments: JsonObject }[];
  seeds?: string[];
  promptTokens?: number;
  completionTokens?: number;
  minDeltas?: number;
  tokenIds?: boolean;
  logprobs?: number;
  promptLogprobs?: boolean;
  idle?: boolean;
  best?: number;
  tokens?: number[];
  ids?: number[];
  vectorSizes?: number[];
  answerTokens?: number;
  segments?: [number, number][];
}

const fields = (
  "name about call request before server key tls promptRepeat parallel occupy cancelAfter leaveAfter stallAfter deadlineMs retry " +
  "expect"
).split(" ");
const expectations = (
  "code started fields reason resource retryAfter text textPrefix textIn jsonKeys id finishReasons stopSequence toolCalls seeds " +
  "promptTokens completionTokens minDeltas tokenIds logprobs promptLogprobs idle best tokens ids vectorSizes answerTokens " +
  "segments"
).split(" ");

/** Throws if a case has what nobody here checks, which would show nothing. */
export function checkKnown(c: Case): void {
  for (const name of Object.keys(c)) assert(fields.includes(name), `unknown field ${name}`);
  for (const name of Object.keys(c.expect)) assert(expectations.includes(name), `unknown expectation ${name}`);
}

/** A unary answer or a stream's, in one form. */
export interface Answer {
  id: string;
  model: string;
  outputs: Output[];
  usage: Usage | undefined;
  promptLogprobs: TokenLogprobs[];
  /** Undefined: it was not streamed. */
  deltas: Delta[] | undefined;
}

export function ofGeneration({ id, model, outputs, message }: Generation): Answer {
  return { id, model, outputs, usage: message.usage, promptLogprobs: message.promptLogprobs, deltas: undefined };
}

export function ofStream(stream: GenerateStream, deltas: Delta[]): Answer {
  const ends = [...stream.finished].sort((a, b) => a.index - b.index);
  const outputs = ends.map(({ index, finishReason, stopSequence, seed }) => {
    const output = create(OutputSchema, { index, finishReason, stopSequence, seed });
    for (const delta of deltas.filter((d) => d.index === index)) join(output, delta);
    return output;
  });
  const { id, model, usage, promptLogprobs } = stream;
  return { id, model, outputs, usage, promptLogprobs, deltas };
}

/** Appends a delta to the output that it belongs to. */
function join(output: Output, delta: Delta): void {
  output.text += delta.text;
  output.reasoning += delta.reasoning;
  output.tokenIds.push(...delta.tokenIds);
  output.logprobs.push(...delta.logprobs);
  for (const { index, retracted, id, name, arguments: fragment } of delta.toolCalls) {
    const call = output.toolCalls[index];
    if (retracted) output.toolCalls.splice(index, 1);
    else if (call === undefined) output.toolCalls.push(create(ToolCallSchema, { id, name, arguments: fragment }));
    else call.arguments += fragment;
  }
}

export function checkAnswer(expect: Expectation, { id, model, outputs, usage, promptLogprobs, deltas }: Answer): void {
  const first = outputs[0];
  assert(id !== "" && model !== "" && usage !== undefined && first !== undefined, "incomplete");
  const actual = {
    id,
    text: first.text,
    finishReasons: outputs.map((o) => FinishReasonSchema.value[o.finishReason]?.name),
    stopSequence: first.stopSequence,
    seeds: outputs.map((o) => o.seed.toString()),
    promptTokens: usage.promptTokens,
    completionTokens: usage.completionTokens,
  };
  for (const [name, got] of Object.entries(actual)) {
    const want = expect[name as keyof typeof actual];
    if (want !== undefined) assert.deepEqual(got, want, name);
  }
  assert(first.text.startsWith(expect.textPrefix ?? ""), first.text);
  if (expect.textIn !== undefined) assert(expect.textIn.includes(first.text), first.text);
  if (expect.jsonKeys !== undefined) {
    assert.deepEqual(Object.keys(JSON.parse(first.text) as object).sort(), [...expect.jsonKeys].sort());
  }
  if (expect.toolCalls !== undefined) {
    assert(first.toolCalls.every((call) => call.id !== ""));
    const calls = first.toolCalls.map((call) => ({ name: call.name, arguments: JSON.parse(call.arguments) as JsonObject }));
    assert.deepEqual(calls, expect.toolCalls);
  }
  if (expect.tokenIds) assert.equal(outputs.flatMap((o) => o.tokenIds).length, usage.completionTokens);
  if (expect.logprobs !== undefined) {
    const entries = outputs.flatMap((o) => o.logprobs);
    assert.equal(entries.length, usage.completionTokens);
    checkLogprobs(entries, expect.logprobs);
  }
  if (expect.promptLogprobs) assert.equal(promptLogprobs.length, usage.promptTokens);
  if (deltas !== undefined) {
    assert(deltas.filter((d) => d.text !== "").length >= (expect.minDeltas ?? 0), `${deltas.length} deltas`);
    assert(first.text.includes("\uFFFD") || deltas.every((d) => !d.text.includes("\uFFFD")), "a delta splits a character");
  }
}

function checkLogprobs(entries: TokenLogprobs[], top: number): void {
  for (const { chosen, top: likeliest } of entries) {
    assert(chosen !== undefined && chosen.logprob <= 0 && chosen.rank >= 1);
    assert.deepEqual(likeliest.map((t) => t.rank), Array.from({ length: top }, (_, i) => i + 1));
  }
}

/** Checks that a stream has told what the unary call told. */
export function checkSame(whole: Answer, streamed: Answer): void {
  assert.equal(streamed.outputs.length, whole.outputs.length);
  whole.outputs.forEach((output, i) => {
    const [a, b] = [output, streamed.outputs[i]!].map(comparable);
    assert(equals(OutputSchema, a!, b!), `unary ${JSON.stringify(a, show)}, streamed ${JSON.stringify(b, show)}`);
  });
  assert.equal(streamed.promptLogprobs.length, whole.promptLogprobs.length);
  whole.promptLogprobs.forEach((entry, i) => assert(equals(TokenLogprobsSchema, entry, streamed.promptLogprobs[i]!)));
  const cachedTokens = whole.usage!.cachedTokens; // the first request leaves the prompt in the cache
  assert(equals(UsageSchema, { ...streamed.usage!, cachedTokens }, whole.usage!));
}

/** An output without the seeds that the request does not name and the ids of calls, which are drawn anew. */
function comparable(output: Output): Output {
  const copy = clone(OutputSchema, output);
  copy.seed = 0n;
  for (const call of copy.toolCalls) call.id = "";
  return copy;
}

const show = (_: string, value: unknown): unknown => (typeof value === "bigint" ? value.toString() : value);

export function checkScores(expect: Expectation, scores: ContinuationScore[]): void {
  assert.deepEqual(scores.map((s) => s.tokens), expect.tokens);
  const best = scores.reduce((a, b) => (b.logLikelihood > a.logLikelihood ? b : a));
  assert.equal(scores.indexOf(best), expect.best);
  if (expect.logprobs === undefined) return;
  for (const { tokens, logprobs } of scores) {
    assert.equal(logprobs.length, tokens);
    checkLogprobs(logprobs, expect.logprobs);
  }
}

export function checkExplanation(expect: Expectation, explanation: ExplainResponse): void {
  assert.equal(explanation.answerTokens, expect.answerTokens);
  assert.deepEqual(explanation.attributions.map((a) => [a.start, a.end]), expect.segments);
  assert(explanation.logLikelihood < 0);
}

export function checkVectors(expect: Expectation, vectors: number[][]): void {
  assert.deepEqual(vectors.map((v) => v.length), expect.vectorSizes);
  for (const vector of vectors) assert(Math.abs(Math.hypot(...vector) - 1) < 1e-4, "a vector's length is not 1");
}

export function checkError(expect: Expectation, error: SluiceError): void {
  assert.deepEqual(error.fieldViolations.map((v) => v.field).sort(), [...(expect.fields ?? [])].sort());
  assert(error.fieldViolations.every((v) => v.description !== ""));
  if (expect.reason !== undefined) assert.equal(error.reason, expect.reason);
  assert.equal(error.resource, expect.resource ?? "");
  if (expect.retryAfter) assert((error.retryAfterMs ?? 0) > 0, "no time to come back");
}
