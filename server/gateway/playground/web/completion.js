// Plain text, continued.
import { Answer } from './answer.js';
import { byId } from './dom.js';
import { grow } from './chat.js';

// Completion is the view of that name.
export class Completion {
  constructor({ api, settings, model, begin, idle, onerror }) {
    Object.assign(this, { api, settings, model, begin, idle, onerror });
    this.input = byId('completion-input');
    this.output = byId('completion-output');
    byId('completion-form').addEventListener('submit', (event) => {
      event.preventDefault();
      this.send();
    });
    this.input.addEventListener('input', () => grow(this.input));
  }

  send() {
    if (!this.idle()) return;
    const prompt = this.input.value;
    this.answer = new Answer({
      api: this.api, label: 'Continuation, token by token: arrow keys move, Enter goes to the alternatives',
      request: (prefix) => ({ model: this.model(), prompt: prompt + prefix, ...this.settings.request() }),
      begin: this.begin, idle: this.idle, onerror: this.onerror, again: () => this.send(),
      onend: () => this.output.setAttribute('aria-busy', 'false'),
    });
    const before = document.createElement('span');
    before.className = 'prompt';
    before.textContent = prompt;
    this.answer.tokens.element.before(before);
    this.answer.element.classList.add('continues');
    this.output.setAttribute('aria-busy', 'true');
    this.output.replaceChildren(this.answer.element);
    this.begin(this.answer);
  }
}
