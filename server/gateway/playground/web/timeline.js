// Where the time of a request went. What the server measured (Timings) and what this browser saw (when each event came)
// are different things and are drawn as such; the server's own spans, one for each step, are in the trace whose id stands
// below, if the server exports traces.
import { duration, el, visible } from './dom.js';
import { milliseconds } from './api.js';

// Timeline draws one request. Times are milliseconds since the request was sent.
export class Timeline {
  constructor(trace) {
    this.trace = trace;
    this.steps = []; // [{at, since, text, tokens, element}]: deltas as they came
    this.sent = performance.now();
    this.last = 0;
    this.stepLane = el('div', { class: 'lane steps' });
    this.serverLane = el('div', { class: 'lane' });
    this.axis = el('div', { class: 'axis', 'aria-hidden': 'true' });
    this.facts = el('dl', { class: 'facts' });
    this.table = el('details', { class: 'step-table', ontoggle: () => this.#fillTable() }, el('summary', {}, 'Steps as a table'));
    this.readout = el('p', { class: 'readout' }, hint);
    this.body = el('div', { class: 'timeline' },
      el('div', { class: 'lanes' },
        el('span', { class: 'lane-name' }, 'Server'), this.serverLane,
        el('span', { class: 'lane-name' }, 'Arrivals'), this.stepLane,
        el('span'), this.axis),
      this.readout, this.facts, this.table);
    this.summary = el('summary', { class: 'figures' }, 'Waiting …');
    this.element = el('details', { class: 'timing', open: true }, this.summary, this.body);
    this.stepLane.addEventListener('pointermove', (event) => this.#point(event));
    this.stepLane.addEventListener('pointerleave', () => this.#read());
  }

  // now is the time of what happens at this moment.
  now() {
    return performance.now() - this.sent;
  }

  // step notes that a delta has come. It returns what its tokens say of it.
  step(text, tokens) {
    const at = this.now();
    const step = { at, since: this.last, text, tokens };
    this.last = at;
    step.element = el('i', { class: this.steps.length === 0 ? 'first' : this.steps.length % 2 ? 'odd' : 'even' });
    this.stepLane.append(step.element);
    this.steps.push(step);
    for (const token of tokens) {
      token.when = this.steps.length === 1 ? `came after ${duration(at)}` : `came ${duration(at - step.since)} after the one before`;
      token.onshow = (shown) => this.#mark(step, shown);
    }
    this.#schedule();
  }

  // end draws what the server measured, once it has said so. Without timings the request did not get that far.
  end(usage, timings, seed) {
    this.total = this.now();
    this.timings = timings && {
      queue: milliseconds(timings.queue), prefill: milliseconds(timings.prefill),
      first: milliseconds(timings.timeToFirstToken), decode: milliseconds(timings.decode),
    };
    this.usage = usage;
    this.seed = seed;
    this.#draw();
    this.#drawServer();
  }

  #schedule() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = undefined;
      if (this.total === undefined) this.#draw();
    });
  }

  get #span() {
    return Math.max(this.total ?? this.now(), 1);
  }

  #draw() {
    const span = this.#span;
    for (const { at, since, element } of this.steps) {
      element.style.left = (100 * since) / span + '%';
      element.style.width = (100 * (at - since)) / span + '%';
    }
    const unit = round(span / 5);
    const marks = [];
    for (let t = 0; t <= span; t += unit) {
      const mark = el('span', {}, t === 0 ? '0' : duration(t).replace(/\.0+(?= )|(\.\d*[1-9])0+(?= )/, '$1'));
      mark.style.left = (100 * t) / span + '%';
      if (t > span * 0.94) mark.className = 'last';
      marks.push(mark);
    }
    this.axis.replaceChildren(...marks);
  }

  #drawServer() {
    const { timings } = this;
    if (!timings) return;
    // Nothing says how long the request and its events were under way, so that the first token is put where it came; or earlier, if
    // it was long under way and what the server measured from there on would not have ended before the answer did here.
    const origin = Math.max(0, Math.min((this.steps[0]?.at ?? this.total) - timings.first, this.total - timings.first - timings.decode));
    const before = Math.max(0, timings.first - timings.queue - timings.prefill);
    let at = origin;
    for (const [name, took, label] of [
      ['before', before, 'before the queue: key, template, tokens'], ['queue', timings.queue, 'queue'], ['prefill', timings.prefill, 'prefill'],
      ['decode', timings.decode, 'decode'],
    ]) {
      const part = el('i', { class: name, title: `${label} ${duration(took)}` });
      part.style.left = (100 * at) / this.#span + '%';
      part.style.width = (100 * took) / this.#span + '%';
      this.serverLane.append(part);
      at += took;
    }
    const steps = this.steps.length > 1 ? ` in ${this.steps.length - 1} arrivals` : '';
    const facts = [
      ['before', 'Before the queue', duration(before)], ['queue', 'Queue', duration(timings.queue)], ['prefill', 'Prefill', duration(timings.prefill)],
      ['decode', 'Decode', duration(timings.decode) + steps],
      ['', 'Network and browser', duration(Math.max(0, this.total - timings.first - timings.decode))],
    ];
    if (this.usage?.cachedTokens) facts.push(['', 'From the prefix cache', `${this.usage.cachedTokens} of ${this.usage.promptTokens} prompt tokens`]);
    if (this.seed) facts.push(['', 'Seed', this.seed]);
    facts.push(['', 'Trace', this.trace]);
    this.facts.replaceChildren(...facts.map(([kind, name, value]) =>
      el('div', {}, el('dt', {}, kind && el('i', { class: 'key ' + kind, 'aria-hidden': 'true' }), name), el('dd', {}, value))));
  }

  #point(event) {
    const { left, width } = this.stepLane.getBoundingClientRect();
    const at = ((event.clientX - left) / width) * this.#span;
    this.#read(this.steps.find((step) => at >= step.since && at < step.at));
  }

  // read tells about a step, in the readout and in the text; without one it takes that back.
  #read(step) {
    if (this.pointed) this.#mark(this.pointed, false);
    this.pointed = step;
    if (step) this.#mark(step, true);
  }

  #mark(step, on) {
    step.element.classList.toggle('current', on);
    for (const token of step.tokens) token.element?.classList.toggle('lit', on);
    const number = this.steps.indexOf(step);
    this.readout.textContent = on
      ? `${number === 0 ? 'First token' : `Step ${number}`}: “${visible(step.text)}” after ${duration(step.at)}, ${duration(step.at - step.since)} after ${number === 0 ? 'the request was sent' : 'the one before'}`
      : hint;
  }

  #fillTable() {
    if (!this.table.open || this.table.querySelector('table')) return;
    const head = ['Step', 'Arrived', 'After the one before', 'Tokens', 'Text'];
    this.table.append(el('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Steps' }, el('table', {},
      el('thead', {}, el('tr', {}, head.map((name) => el('th', { scope: 'col' }, name)))),
      el('tbody', {}, this.steps.map((step, i) => el('tr', {},
        [i, duration(step.at), duration(step.at - step.since), step.tokens.length || '–', visible(step.text)].map((cell) => el('td', {}, String(cell)))))))));
  }
}

const hint = 'Server: what it measured, its first token put where that arrived. Arrivals: the events as they reached this browser.';

// round is the nearest of 1, 2 and 5 times a power of ten that is not below.
function round(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return power * [1, 2, 5, 10].find((n) => n * power >= value);
}
