// A conversation through the model's own template.
import { Answer } from './answer.js';
import { byId, el } from './dom.js';

const ideas = ['Why is the sky blue?', 'Write a haiku about running water.', 'Explain a hash table to a child.', 'List three uses of a river.'];

// Chat is the view of that name. begin(answer, prefix) has an answer run, so that the page knows which one does.
export class Chat {
  constructor({ api, settings, model, begin, idle, onerror }) {
    Object.assign(this, { api, settings, model, begin, idle, onerror });
    this.turns = []; // [{role, content, element}, or {role, answer, element}]
    this.log = byId('chat-log');
    this.input = byId('chat-input');
    this.system = byId('chat-system');
    byId('chat-form').addEventListener('submit', (event) => {
      event.preventDefault();
      this.send();
    });
    this.input.addEventListener('keydown', (event) => {
      if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.send();
    });
    this.input.addEventListener('input', () => grow(this.input));
    this.log.addEventListener('scroll', () => {
      const { scrollHeight, scrollTop, clientHeight } = this.log;
      this.atEnd = scrollHeight - scrollTop - clientHeight < 40;
    }, { passive: true });
    byId('chat-clear').addEventListener('click', () => this.clear());
    this.#empty();
  }

  send(text = this.input.value) {
    if (text.trim() === '' || !this.idle()) return;
    this.input.value = '';
    grow(this.input);
    byId('chat-empty')?.remove();
    this.turns.at(-1)?.answer?.fold();
    const element = el('div', { class: 'turn user' }, el('p', { class: 'said' }, text));
    this.turns.push({ role: 'user', content: text, element });
    this.log.append(element);
    this.#answer();
  }

  clear() {
    if (!this.idle()) return;
    this.turns = [];
    this.log.replaceChildren();
    this.#empty();
    this.input.focus();
  }

  #empty() {
    this.log.append(el('div', { class: 'empty', id: 'chat-empty' },
      el('h2', {}, 'Talk to the model'),
      el('p', {}, 'Every token is coloured by how likely it was. Point at one, or tap it, to see what else the model had in mind, and choose another to go on from there.'),
      el('div', { class: 'ideas' }, ideas.map((text) => el('button', { type: 'button', onclick: () => this.send(text) }, text)))));
  }

  #answer() {
    const before = this.turns.length;
    const answer = new Answer({
      api: this.api, label: 'Answer, token by token: arrow keys move, Enter goes to the alternatives',
      request: (prefix) => this.#request(before, prefix),
      idle: this.idle, onerror: this.onerror,
      begin: (branched, prefix) => {
        this.#forget(before + 1); // what followed was said of another answer
        this.begin(branched, prefix);
      },
      onend: () => {
        this.log.setAttribute('aria-busy', 'false');
        this.#follow();
      },
      again: () => {
        if (!this.idle()) return;
        this.#forget(before);
        this.#answer();
      },
    });
    const element = el('div', { class: 'turn assistant' }, answer.element);
    this.turns.push({ role: 'assistant', answer, element });
    this.log.setAttribute('aria-busy', 'true'); // it is read out once it is whole
    this.log.append(element);
    this.atEnd = true;
    this.#follow();
    new MutationObserver(() => this.#follow()).observe(answer.element, { childList: true, subtree: true });
    this.begin(answer);
  }

  // forget takes back the turns from one on.
  #forget(from) {
    for (const turn of this.turns.splice(from)) turn.element.remove();
  }

  // follow keeps the end in view, unless the reader has scrolled away from it.
  #follow() {
    if (this.atEnd) this.log.scrollTop = this.log.scrollHeight;
  }

  // request is that of the answer that follows some turns. One that begins with a text goes on with the last message.
  #request(turns, prefix) {
    const messages = this.turns.slice(0, turns).map(({ role, content, answer }) => ({ role, content: answer ? answer.text : content }));
    if (this.system.value.trim() !== '') messages.unshift({ role: 'system', content: this.system.value });
    const chat = { messages };
    if (prefix !== '') {
      messages.push({ role: 'assistant', content: prefix });
      chat.continueFinalMessage = true;
    }
    return { model: this.model(), chat, ...this.settings.request() };
  }
}

// grow makes a text field as high as its text, within what the style allows.
export function grow(field) {
  field.style.height = 'auto';
  field.style.height = field.scrollHeight + 2 + 'px';
}
