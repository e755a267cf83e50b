// What the server has and does: its models, and gauges of them. Slots and queues are from ListModels, which the keys of
// clients may call; the key-value cache and the speed are from /metrics, which needs a right of its own where the server
// asks for keys. Gauges that the key may not see say so.
import { el, svg } from './dom.js';

// Milliseconds between two looks, while the page is visible. A look takes a call from the quota of the key.
const quickest = 2000; // while something runs
const idle = 10_000; // while nothing does
const slowest = 120_000; // where the quota is small
const remembered = 40; // looks that the curve shows

// Server watches the server for the page. onmodels is called when the list changes, onerror when it cannot be read.
export class Server {
  constructor(api, { gauges, list, onmodels, onerror }) {
    Object.assign(this, { api, list, onmodels, onerror, models: [], speeds: [] });
    this.gauges = Object.fromEntries([['slots', 'Slots in use'], ['waiting', 'Waiting'], ['speed', 'Tokens/s'], ['cache', 'KV cache']].map(([key, label]) => {
      const value = el('strong', {}, '–');
      const picture = key === 'waiting' ? null : key === 'speed' ? svg('svg', { viewBox: `0 0 ${remembered - 1} 20`, preserveAspectRatio: 'none', 'aria-hidden': 'true' }) : el('span', { class: 'bar' });
      gauges.append(el('div', { class: 'gauge', id: 'gauge-' + key }, el('span', {}, label), value, picture ?? ''));
      return [key, { value, picture }];
    }));
    this.#restart();
    document.addEventListener('visibilitychange', () => this.#plan());
    this.#look();
  }

  // retry looks at once, with whatever key there now is.
  retry() {
    this.refused = this.last = undefined;
    this.stale = this.looking; // with the key of before
    this.#restart();
    this.#plan();
  }

  // hurry has the next looks follow quickly, because an answer begins.
  hurry() {
    this.period = this.floor;
    this.#plan();
  }

  // spare has no look until the quota of the key has room again, and fewer from then on: what is left is for its user. retry
  // is the server's advice in seconds.
  spare({ retry }) {
    this.floor = Math.min(2 * Math.max(this.floor, this.period), slowest);
    this.period = this.floor;
    this.rest = performance.now() + Math.max(this.period, 1000 * retry);
    this.#plan();
  }

  // #restart forgets what was learnt of a key's quota.
  #restart() {
    this.floor = this.period = quickest; // the least there may be and what there is between two looks
    this.looked = this.rest = -Infinity; // when the last one ended, and before when there must be none
    this.ended = false;
  }

  // #plan sets the time of the next look.
  #plan() {
    clearTimeout(this.timer);
    if (document.hidden || this.looking || this.ended) return;
    const due = Math.max(this.looked + this.period, this.rest);
    this.timer = setTimeout(() => this.#look(), Math.max(0, due - performance.now()));
  }

  async #look() {
    this.looking = true;
    this.stale = false;
    try {
      this.#take(await this.api.listModels());
      if (!this.refused) await this.#measure();
      this.onerror(undefined);
      this.period = this.busy ? this.floor : Math.min(2 * this.period, Math.max(idle, this.floor));
    } catch (error) {
      if (!this.stale) this.#fail(error);
    }
    this.looking = false;
    if (!this.stale) this.looked = performance.now();
    this.#plan();
  }

  #fail(error) {
    if (error.status === 429) {
      this.spare(error);
      if (this.shown) return; // what is shown is old, and no worse
    } else {
      this.period = this.floor;
      this.ended = error.status === 401 || error.status === 403; // only another key helps, and refusals are counted
    }
    this.#clear();
    this.onerror(error);
  }

  #take(models) {
    const sum = (field) => models.flatMap((m) => m.replicas ?? []).reduce((n, r) => n + (r[field] ?? 0), 0);
    this.busy = sum('running') + sum('waiting') > 0;
    this.#set('slots', `${sum('running')} / ${sum('slots')}`, sum('running') / sum('slots'));
    this.#set('waiting', String(sum('waiting')));
    const fresh = JSON.stringify(models.map(({ replicas, ...rest }) => rest));
    if (fresh === this.shown) return;
    this.shown = fresh;
    this.models = models;
    this.list.replaceChildren(...models.map(describe));
    this.onmodels(models);
  }

  async #measure() {
    let text;
    try {
      text = await this.api.metrics();
    } catch (error) {
      if (error.status !== 401 && error.status !== 403) throw error;
      this.refused = true;
      for (const key of ['speed', 'cache']) this.#set(key, 'needs the right “metrics”', 0);
      return;
    }
    const now = performance.now();
    const tokens = read(text, 'sluice_step_tokens_total', 'phase="decode"').reduce((a, b) => a + b, 0);
    const cache = read(text, 'sluice_kv_cache_usage', '');
    this.#set('cache', (100 * Math.max(0, ...cache)).toFixed(1) + ' %', Math.max(0, ...cache));
    if (this.last) {
      this.speeds.push(Math.max(0, (tokens - this.last.tokens) / ((now - this.last.now) / 1000)));
      this.speeds = this.speeds.slice(-remembered);
      this.#set('speed', this.speeds.at(-1).toFixed(0));
      this.#plot();
    }
    this.last = { tokens, now };
  }

  #plot() {
    const most = Math.max(10, ...this.speeds);
    const from = remembered - this.speeds.length;
    const points = this.speeds.map((v, i) => `${from + i},${(19 - (18 * v) / most).toFixed(2)}`);
    this.gauges.speed.picture.replaceChildren(
      svg('polygon', { points: [`${from},20`, ...points, `${remembered - 1},20`].join(' ') }), svg('polyline', { points: points.join(' ') }));
  }

  #set(key, text, share) {
    const { value, picture } = this.gauges[key];
    value.textContent = text;
    value.classList.toggle('words', text.length > 10);
    if (share !== undefined) picture.style.setProperty('--share', Number.isFinite(share) ? share : 0);
  }

  #clear() {
    for (const [key, { picture }] of Object.entries(this.gauges)) this.#set(key, '–', picture ? 0 : undefined);
    this.last = undefined;
  }
}

// read finds the values of a metric in Prometheus' text format, of the series whose labels have a certain part.
function read(text, name, label) {
  return text.split('\n').filter((line) => line.startsWith(name + '{') && line.includes(label)).map((line) => Number(line.slice(line.lastIndexOf('} ') + 2).split(' ')[0]));
}

// describe lists a model.
function describe(model) {
  const state = (model.state ?? '').replace('MODEL_STATE_', '').toLowerCase() || 'unknown';
  const facts = [
    model.architecture, model.quantization, `${(model.contextLength ?? 0).toLocaleString('en')} tokens of context`,
    ...new Set((model.replicas ?? []).map((r) => r.device)), !model.chat && 'no chat template', model.toolCallFormat && 'calls tools', model.reasoningFormat && 'reasons',
  ];
  return el('li', {},
    el('p', {}, el('strong', {}, model.name), ' ', el('span', { class: 'state ' + state }, state)),
    el('p', { class: 'card-facts' }, facts.filter(Boolean).join(' · ')),
    model.aliases?.length > 0 && el('p', { class: 'card-facts' }, 'also called ' + model.aliases.join(', ')));
}
