// The sampling controls. A control that is empty is left out of the request, and the model's own default holds.
import { el } from './dom.js';

// Of each: the field of sluice.v1.Sampling, its name in errors, and its range.
const controls = [
  { field: 'temperature', name: 'temperature', label: 'Temperature', min: 0, max: 2, step: 0.05, unset: 1, main: true, help: '0 takes the likeliest token' },
  { field: 'topP', name: 'top_p', label: 'Top-p', min: 0.05, max: 1, step: 0.05, unset: 1, main: true, help: 'likeliest tokens that sum to p' },
  { field: 'maxTokens', name: 'max_tokens', label: 'Most tokens', min: 1, step: 1, main: true },
  { field: 'topK', name: 'top_k', label: 'Top-k', min: 0, step: 1, help: '0 keeps all' },
  { field: 'minP', name: 'min_p', label: 'Min-p', min: 0, max: 1, step: 0.01 },
  { field: 'typicalP', name: 'typical_p', label: 'Typical-p', min: 0.05, max: 1, step: 0.05 },
  { field: 'repetitionPenalty', name: 'repetition_penalty', label: 'Repetition penalty', min: 0.05, step: 0.05 },
  { field: 'presencePenalty', name: 'presence_penalty', label: 'Presence penalty', min: -2, max: 2, step: 0.1 },
  { field: 'frequencyPenalty', name: 'frequency_penalty', label: 'Frequency penalty', min: -2, max: 2, step: 0.1 },
  { field: 'noRepeatNgramSize', name: 'no_repeat_ngram_size', label: 'No repeated n-gram', min: 0, step: 1 },
  { field: 'minTokens', name: 'min_tokens', label: 'Fewest tokens', min: 0, step: 1 },
  { field: 'seed', name: 'seed', label: 'Seed', min: 0, step: 1, help: 'empty: drawn' },
];

const presets = [
  ['Precise', { temperature: 0 }],
  ['Balanced', { temperature: 0.6, topP: 0.9 }],
  ['Creative', { temperature: 1.1, topP: 0.95 }],
  ['Model’s own', {}],
];

const constraints = {
  json_schema: ['JSON Schema', '{"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}', (text) => ({ jsonSchema: text })],
  regex: ['Regular expression', '(yes|no)\\.', (text) => ({ regex: text })],
  grammar: ['Grammar (GBNF, Lark)', 'root ::= "yes" | "no"', (text) => ({ grammar: text })],
  choice: ['One of these lines', 'yes\nno', (text) => ({ choice: { choices: text.split('\n').filter((line) => line !== '') } })],
};

// Settings is the form. Its values are read when a request is made.
export class Settings {
  #inputs = new Map(); // field → {input, slider, faults}

  constructor(root) {
    this.presets = presets.map(([name, values]) =>
      el('button', { type: 'button', 'aria-pressed': 'false', onclick: () => this.#choose(values) }, name));
    this.stops = el('input', { id: 'stop-strings', type: 'text', placeholder: 'none', autocomplete: 'off', spellcheck: 'false' });
    this.alternatives = el('input', { id: 'alternatives', type: 'number', min: 0, max: 20, step: 1, value: 5 });
    this.colours = el('input', { id: 'colours', type: 'checkbox', checked: true, onchange: () => this.#colour() });
    this.ignoreEnd = el('input', { id: 'ignore-eos', type: 'checkbox' });
    this.kind = el('select', { id: 'constraint', onchange: () => this.#constrain() }, el('option', { value: '' }, 'none'),
      Object.entries(constraints).map(([kind, [label]]) => el('option', { value: kind }, label)));
    this.rule = el('textarea', { id: 'constraint-text', rows: 4, hidden: true, spellcheck: 'false', 'aria-label': 'Constraint' });
    root.append(
      el('div', { class: 'presets', role: 'group', 'aria-label': 'Presets' }, this.presets),
      ...controls.filter((c) => c.main).map((c) => this.#control(c)),
      this.#row(this.colours, 'Colour tokens by probability', 'check'),
      this.#row(this.alternatives, 'Alternatives of each token', 'inline'),
      el('details', {}, el('summary', {}, 'More sampling'),
        controls.filter((c) => !c.main).map((c) => this.#control(c)),
        this.#row(this.stops, 'Stop strings, separated by |', 'wide'),
        this.#row(this.ignoreEnd, 'Go on after the end token', 'check')),
      el('details', {}, el('summary', {}, 'Constraint'),
        this.#row(this.kind, 'The text must be', 'wide'), this.rule),
    );
    this.#choose(presets[1][1]);
  }

  // request is what the settings put into a GenerateRequest.
  request() {
    const sampling = {};
    for (const { field } of controls) {
      const { value } = this.#inputs.get(field).input;
      if (value !== '') sampling[field] = field === 'seed' ? value : Number(value); // a uint64 is a string in JSON
    }
    if (this.ignoreEnd.checked) sampling.ignoreEos = true;
    const request = { sampling };
    const strings = this.stops.value.split('|').filter((text) => text !== '').map((text) => text.replaceAll('\\n', '\n'));
    if (strings.length > 0) request.stop = { strings };
    if (this.colours.checked) request.output = { logprobs: Number(this.alternatives.value), entropy: true };
    if (this.kind.value !== '') request.constraint = constraints[this.kind.value][2](this.rule.value);
    return request;
  }

  // mark shows at its control what is wrong with a field, until the control changes; without fields it takes marks away.
  mark(fields = []) {
    for (const { input, faults } of this.#inputs.values()) {
      input.removeAttribute('aria-invalid');
      faults.textContent = '';
    }
    for (const { field, description } of fields) {
      const control = controls.find(({ name }) => field === 'sampling.' + name);
      if (!control) continue;
      const { input, faults } = this.#inputs.get(control.field);
      input.setAttribute('aria-invalid', 'true');
      faults.textContent = description;
      const folded = input.closest('details');
      if (folded) folded.open = true;
    }
  }

  #control({ field, label, min, max, step, unset, main, help }) {
    const id = 'sampling-' + field;
    const faults = el('span', { class: 'faults', id: id + '-faults' });
    const input = el('input', {
      id, type: 'number', min, max, step: 'any', inputmode: step < 1 ? 'decimal' : 'numeric', placeholder: 'default', 'aria-describedby': faults.id, autocomplete: 'off',
      oninput: () => this.#changed(field),
    });
    const slider = main && max && el('input', {
      type: 'range', min, max, step, value: unset, 'aria-label': label, tabindex: -1,
      oninput: () => { input.value = slider.value; this.#changed(field); },
    });
    this.#inputs.set(field, { input, slider, faults, unset });
    return el('div', { class: 'control' },
      el('label', { for: id }, label, help && el('small', {}, help)), input, slider, faults);
  }

  #row(input, label, kind) {
    return el('div', { class: 'control ' + kind }, el('label', { for: input.id }, label), input);
  }

  #changed(field) {
    const { input, slider, faults, unset } = this.#inputs.get(field);
    input.removeAttribute('aria-invalid');
    faults.textContent = '';
    if (slider) slider.value = input.value === '' ? unset : input.value;
    this.#press();
  }

  #choose(values) {
    for (const field of ['temperature', 'topP', 'topK', 'minP', 'typicalP']) {
      this.#inputs.get(field).input.value = values[field] ?? '';
      this.#changed(field);
    }
  }

  // press shows which preset the controls are set to.
  #press() {
    presets.forEach(([, values], i) => {
      const same = ['temperature', 'topP', 'topK', 'minP', 'typicalP'].every((field) => this.#inputs.get(field)?.input.value === String(values[field] ?? ''));
      this.presets[i].setAttribute('aria-pressed', String(same));
    });
  }

  #colour() {
    this.alternatives.disabled = !this.colours.checked;
  }

  #constrain() {
    const chosen = constraints[this.kind.value];
    this.rule.hidden = !chosen;
    if (chosen) this.rule.value = chosen[1];
  }
}
