// One answer: a request that runs, its text as it comes, what became of it, and what can be done with it.
import { milliseconds, newTrace } from './api.js';
import { Aligner } from './align.js';
import { bytes, copy, el, say, utf8 } from './dom.js';
import { Timeline } from './timeline.js';
import { TokenText } from './tokens.js';
import { errorView } from './errors.js';

const reasons = {
  FINISH_REASON_STOP: 'ended by itself',
  FINISH_REASON_STOP_SEQUENCE: 'met a stop string',
  FINISH_REASON_LENGTH: 'cut at the most tokens',
  FINISH_REASON_TOOL_CALL: 'called a tool',
};

// Answer is shown in its element. request(prefix) makes the GenerateRequest for an answer that begins with a text, and
// begin(answer, prefix) has it run; idle says whether nothing runs.
export class Answer {
  constructor({ api, request, label, begin, idle, onerror, onend, again }) {
    Object.assign(this, { api, request, begin, idle, onerror, onend });
    this.text = '';
    this.reasoning = '';
    this.running = false;
    this.tokens = new TokenText({ label, onbranch: (token, other) => this.#branch(token, other) });
    this.thoughts = el('div', { class: 'thoughts-text' });
    this.thoughtsBox = el('details', { class: 'thoughts', hidden: true }, el('summary', {}, 'Reasoning'), this.thoughts);
    this.problem = el('div');
    this.timing = el('div');
    this.copy = el('button', { type: 'button', class: 'quiet', onclick: (e) => copy(this.text, e.currentTarget) }, 'Copy');
    this.actions = el('div', { class: 'actions', hidden: true },
      this.copy,
      again && el('button', { type: 'button', class: 'quiet', onclick: () => again(this) }, 'Again'),
      el('button', { type: 'button', class: 'quiet', title: 'The request as a command, without the key', onclick: (e) => copy(this.api.curl(this.sent), e.currentTarget) }, 'Copy as curl'));
    this.element = el('article', { class: 'answer' }, this.thoughtsBox, this.tokens.element, this.problem, this.actions, this.timing);
  }

  // run sends the request and shows what comes, until it ends, fails or is stopped.
  async run(prefix = '') {
    this.abort = new AbortController();
    this.running = true;
    this.element.classList.add('running');
    this.actions.hidden = true;
    this.problem.replaceChildren();
    this.aligner = new Aligner();
    this.thoughtsLeft = 0;
    const trace = newTrace();
    this.timeline = new Timeline(trace.id);
    this.timing.replaceChildren(this.timeline.element);
    this.finish = this.usage = this.timings = undefined;
    let failure;
    try {
      this.sent = this.request(prefix);
      for await (const [type, event] of this.api.generate(this.sent, this.abort.signal, trace.header)) this.#take(type, event);
    } catch (cause) {
      failure = cause;
    }
    for (const piece of this.aligner.end()) this.#show(piece);
    this.timeline.end(this.usage, this.timings, this.finish?.seed);
    this.running = false;
    this.element.classList.remove('running');
    this.actions.hidden = false;
    this.copy.hidden = this.text === '';
    const stopped = failure?.name === 'AbortError';
    this.#sum(stopped);
    if (failure && !stopped) this.#fail(failure);
    this.onend?.(this);
  }

  stop() {
    this.abort?.abort();
  }

  // fold leaves the figures and puts the drawing away.
  fold() {
    if (this.timeline) this.timeline.element.open = false;
  }

  #take(type, event) {
    if (type === 'started') this.model = event.model;
    if (type === 'delta') this.#delta(event);
    if (type === 'finished') this.finish = event;
    if (type === 'summary') ({ usage: this.usage, timings: this.timings } = event);
  }

  #delta({ text = '', reasoning = '', logprobs = [] }) {
    this.text += text;
    this.reasoning += reasoning;
    const tokens = logprobs.map(({ chosen, top = [], entropy }) => ({ ...candidate(chosen), top: top.map(candidate), entropy }));
    if (text !== '' || reasoning !== '' || tokens.length > 0) this.timeline.step(reasoning + text, tokens);
    this.thoughtsLeft += reasoning.length;
    for (const piece of this.aligner.push(reasoning + text, tokens)) this.#show(piece);
    if (this.timeline.steps.length === 1) this.timeline.summary.textContent = 'Answering …';
  }

  // show puts a piece where it belongs: reasoning comes before the text, and a piece may have the end of one and the
  // beginning of the other.
  #show({ token, text }) {
    if (token && text === '') token.silent = 'Not a part of the text by itself: an end token, or a part of a character.';
    const thought = text.slice(0, this.thoughtsLeft);
    this.thoughtsLeft -= thought.length;
    if (thought !== '') {
      this.thoughtsBox.hidden = false;
      this.thoughts.append(thought);
    }
    if (text.length > thought.length) this.tokens.add({ token, text: text.slice(thought.length) });
    else if (thought === '') this.tokens.add({ token, text: '' });
  }

  #sum(stopped) {
    const parts = [];
    if (stopped) parts.push('stopped by you');
    if (this.timings) {
      const decode = milliseconds(this.timings.decode);
      const { completionTokens = 0, promptTokens = 0 } = this.usage ?? {};
      parts.push(`${promptTokens} prompt + ${completionTokens} output tokens`, `first after ${Math.round(milliseconds(this.timings.timeToFirstToken))} ms`);
      if (completionTokens > 1 && decode > 0) parts.push(`${((completionTokens - 1) / (decode / 1000)).toFixed(1)} tokens/s`);
    } else if (this.timeline.steps.length > 0) {
      parts.push(`${this.timeline.steps.length} events came`);
    }
    if (this.finish) parts.push(reasons[this.finish.finishReason] ?? this.finish.finishReason);
    this.timeline.summary.textContent = parts.join(' · ');
    this.timing.hidden = parts.length === 0;
    say(stopped ? 'Stopped.' : this.finish ? `Finished: ${parts.join(', ')}` : '');
  }

  #fail(failure) {
    this.problem.replaceChildren(errorView(failure));
    this.onerror?.(failure);
  }

  // branch goes on from a token with another one in its place.
  #branch(token, other) {
    const text = utf8(other.bytes);
    if (text === undefined || !this.idle()) return;
    this.tokens.cut(token.index);
    const before = this.tokens.element.textContent;
    this.tokens.add({ token: { ...other, entropy: token.entropy, top: token.top, forced: true }, text });
    this.text = before + text;
    this.reasoning = '';
    this.tokens.tokens.at(-1).element.focus();
    this.begin(this, this.text);
  }
}

// candidate is a TokenLogprob in the terms of this page.
function candidate({ tokenId = 0, logprob = 0, token = '', rank = 0 }) {
  return { id: tokenId, probability: Math.exp(Number(logprob)), bytes: bytes(token), rank };
}
