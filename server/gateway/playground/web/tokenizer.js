// What a model's tokenizer makes of a text, while it is typed.
import { bytes, byId, copy, el, tokenLabel } from './dom.js';
import { errorView } from './errors.js';

// TokenizerView is the view of that name.
export class TokenizerView {
  constructor({ api, model, onerror }) {
    Object.assign(this, { api, model, onerror, tokens: [] });
    this.input = byId('tokenizer-input');
    this.output = byId('tokenizer-output');
    this.counts = byId('tokenizer-counts');
    this.special = byId('tokenizer-special');
    this.parse = byId('tokenizer-parse');
    for (const input of [this.input, this.special, this.parse]) {
      input.addEventListener('input', () => {
        clearTimeout(this.timer);
        this.timer = setTimeout(() => this.refresh(), 150);
      });
    }
    byId('tokenizer-copy').addEventListener('click', (event) => copy(JSON.stringify(this.tokens.map((t) => t.id ?? 0)), event.currentTarget));
  }

  async refresh() {
    this.abort?.abort(); // an older text's tokens
    this.abort = new AbortController();
    const text = this.input.value;
    try {
      this.tokens = await this.api.tokenize({
        model: this.model(), text, addSpecialTokens: this.special.checked, parseSpecial: this.parse.checked,
      }, this.abort.signal);
    } catch (error) {
      if (error.name === 'AbortError') return;
      this.tokens = [];
      this.output.replaceChildren(errorView(error));
      this.counts.textContent = '';
      this.onerror(error);
      return;
    }
    this.output.replaceChildren(...this.tokens.map(chip));
    const size = new TextEncoder().encode(text).length;
    const count = this.tokens.length;
    this.counts.textContent = `${count} ${count === 1 ? 'token' : 'tokens'} · ${[...text].length} characters · ${size} bytes`
      + (count > 0 && size > 0 ? ` · ${(size / count).toFixed(2)} bytes a token` : '');
  }
}

function chip({ id = 0, bytes: base64, special }) {
  const raw = bytes(base64);
  return el('li', { class: special ? 'special' : '', title: special ? 'special token' : `${raw.length} bytes` },
    el('code', {}, tokenLabel(raw) || '∅'), el('small', {}, String(id)));
}
