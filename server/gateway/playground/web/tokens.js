// The text of an answer, token by token: coloured by probability, and with the alternatives of each in a card on hover, on
// keyboard focus and by touch.
import { byId, el, percent, tokenLabel } from './dom.js';

// levels are the lower bounds of the probabilities that share a colour.
const levels = [0.9, 0.6, 0.3, 0.1, 0];

// mouse is where the mouse was last moved to. A browser reports a still mouse too, when the page moves below it, and that must
// not take the card from the token that has the focus.
const mouse = { x: -1, y: -1 };
addEventListener('pointermove', ({ clientX, clientY }) => Object.assign(mouse, { x: clientX, y: clientY }), { passive: true });

// TokenText shows tokens as they come. The arrow keys move among them; it is one stop of the Tab key.
export class TokenText {
  // onbranch is called with a token and one of its alternatives when the reader wants to go on from there.
  constructor({ label, onbranch }) {
    this.tokens = []; // what add was given, with the element of each
    this.onbranch = onbranch;
    this.element = el('div', {
      class: 'tokens', role: 'group', 'aria-label': label, onkeydown: (event) => this.#move(event),
      onpointerover: (event) => event.pointerType === 'mouse' && this.#over(event), onpointerleave: () => card.leave(),
      onfocusin: (event) => this.#show(event.target), onfocusout: (event) => card.unfocus(event),
      onclick: (event) => this.#tokenOf(event.target)?.element.focus(),
    });
  }

  // add shows a piece of text. Its token, if there is one, has bytes, probability, rank, entropy, alternatives, and where it
  // came in the stream; a token comes again when more of its text does.
  add({ token, text }) {
    if (!token) {
      this.element.append(text);
      return;
    }
    if (token.element) {
      token.element.append(text);
      return;
    }
    const level = levels.findIndex((bound) => token.probability >= bound);
    token.element = el('span', { class: `token p${level}`, tabindex: this.tokens.length === 0 ? 0 : -1 }, text);
    if (text === '') token.element.classList.add('silent');
    if (/^\n+$/.test(text)) token.element.classList.add('line');
    if (token.forced) token.element.classList.add('forced');
    token.index = this.tokens.length;
    token.element.dataset.index = token.index;
    token.owner = this;
    this.tokens.push(token);
    this.element.append(token.element);
  }

  // cut takes out a token and all that came after it.
  cut(index) {
    card.hide();
    const first = this.tokens[index].element;
    while (first.nextSibling) first.nextSibling.remove();
    first.remove();
    this.tokens.length = index;
  }

  #tokenOf(target) {
    const element = target.closest?.('.token');
    return element ? this.tokens[Number(element.dataset.index)] : undefined;
  }

  #over(event) {
    if (event.clientX === mouse.x && event.clientY === mouse.y) return;
    const token = this.#tokenOf(event.target);
    if (token) card.hover(token);
    else card.leave();
  }

  #show(target) {
    const token = this.#tokenOf(target);
    if (!token) return;
    for (const other of this.element.querySelectorAll('.token[tabindex="0"]')) other.tabIndex = -1;
    token.element.tabIndex = 0;
    card.show(token);
  }

  #move(event) {
    const token = this.#tokenOf(event.target);
    if (!token) return;
    const to = {
      ArrowRight: token.index + 1, ArrowLeft: token.index - 1, ArrowDown: this.#line(token, 1), ArrowUp: this.#line(token, -1),
      Home: 0, End: this.tokens.length - 1,
    }[event.key];
    if (to !== undefined) {
      event.preventDefault();
      this.tokens[Math.max(0, Math.min(to, this.tokens.length - 1))].element.focus();
    } else if (event.key === 'Enter' || event.key === ' ') {
      event.preventDefault();
      card.enter();
    }
  }

  // line is the nearest token in the next line that is drawn, or the one before.
  #line(token, step) {
    const here = token.element.getBoundingClientRect();
    let best = token.index;
    let least = Infinity;
    let row; // that we look for
    for (let i = token.index + step; i >= 0 && i < this.tokens.length; i += step) {
      const box = this.tokens[i].element.getBoundingClientRect();
      if (Math.abs(box.top - here.top) < here.height / 2) continue;
      row ??= box.top;
      if (Math.abs(box.top - row) > here.height / 2) break;
      if (Math.abs(box.left - here.left) < least) [best, least] = [i, Math.abs(box.left - here.left)];
    }
    return best;
  }
}

// Card is what tells about one token: the only one of the page. It stays while the pointer is on it or the focus in it, and
// Escape closes it.
class Card {
  #token;
  #timer;
  #element;

  get #box() {
    if (!this.#element) {
      this.#element = byId('card');
      this.#element.addEventListener('pointerenter', () => clearTimeout(this.#timer));
      this.#element.addEventListener('pointerleave', () => this.leave());
      this.#element.addEventListener('focusout', (event) => this.unfocus(event));
      this.#element.addEventListener('keydown', (event) => this.#keys(event));
      addEventListener('scroll', () => this.#place(), { capture: true, passive: true });
      addEventListener('resize', () => this.#place(), { passive: true });
    }
    return this.#element;
  }

  get open() {
    return this.#token !== undefined;
  }

  // hover shows a token after a moment, so that a pointer that passes opens nothing.
  hover(token) {
    clearTimeout(this.#timer);
    if (this.#token === token) return;
    this.#timer = setTimeout(() => this.show(token), this.open ? 0 : 120);
  }

  leave() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.hide(), 250);
  }

  // unfocus hides the card if the focus goes elsewhere than into it or to its token.
  unfocus(event) {
    const to = event.relatedTarget;
    if (to && (this.#box.contains(to) || to === this.#token?.element)) return;
    this.leave();
  }

  show(token) {
    clearTimeout(this.#timer);
    this.#clear();
    this.#token = token;
    token.element.classList.add('current');
    token.element.setAttribute('role', 'button');
    token.element.setAttribute('aria-describedby', 'card');
    this.#box.replaceChildren(...describe(token));
    this.#box.hidden = false;
    this.#place();
    token.onshow?.(true);
  }

  // enter moves the focus to the first alternative.
  enter() {
    this.#box.querySelector('button')?.focus();
  }

  hide() {
    clearTimeout(this.#timer);
    this.#clear();
    this.#box.hidden = true;
  }

  // dismiss hides the card and gives the focus back; it says whether there was one.
  dismiss() {
    if (!this.open) return false;
    const { element } = this.#token;
    if (this.#box.contains(document.activeElement)) element.focus();
    this.hide();
    return true;
  }

  #clear() {
    if (!this.#token) return;
    this.#token.element.classList.remove('current');
    this.#token.element.removeAttribute('role');
    this.#token.element.removeAttribute('aria-describedby');
    this.#token.onshow?.(false);
    this.#token = undefined;
  }

  #keys(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const buttons = [...this.#box.querySelectorAll('button')];
    buttons[(buttons.indexOf(document.activeElement) + step + buttons.length) % buttons.length]?.focus();
  }

  // place puts the card below its token, or above it where there is no room. A token that is scrolled out of sight takes it
  // along.
  #place() {
    if (!this.#token) return;
    const [at] = this.#token.element.getClientRects();
    if (!at) return;
    const box = this.#box;
    const sight = this.#token.element.closest('.scroller').getBoundingClientRect();
    box.style.visibility = at.bottom < sight.top || at.top > sight.bottom ? 'hidden' : '';
    const { width, height } = box.getBoundingClientRect();
    const below = at.bottom + 6;
    const top = below + height > innerHeight - 8 && at.top - height - 6 > 8 ? at.top - height - 6 : below;
    box.style.left = Math.max(8, Math.min(at.left, innerWidth - width - 8)) + 'px';
    box.style.top = top + 'px';
  }
}

export const card = new Card();

// describe is what the card says of a token.
function describe(token) {
  const facts = [];
  if (token.forced) facts.push('put here by you');
  else facts.push(`rank ${token.rank}`);
  if (token.entropy !== undefined) facts.push(`entropy ${token.entropy.toFixed(2)} nats`);
  facts.push(`id ${token.id}`);
  if (token.when) facts.push(token.when);
  const parts = [
    el('p', { class: 'card-head' }, el('code', {}, tokenLabel(token.bytes)), el('strong', {}, percent(token.probability))),
    el('p', { class: 'card-facts' }, facts.join(' · ')),
  ];
  if (token.silent) parts.push(el('p', { class: 'card-facts' }, token.silent));
  if (token.top.length > 0) {
    parts.push(el('ol', { class: 'alternatives' }, token.top.map((other) => el('li', {}, alternative(token, other)))));
    if (token.owner.onbranch) parts.push(el('p', { class: 'card-hint' }, 'Choose one to go on from here with it.'));
  }
  return parts;
}

function alternative(token, other) {
  const bar = el('span', { class: 'bar' });
  bar.style.setProperty('--share', other.probability);
  const inside = [el('code', {}, tokenLabel(other.bytes)), bar, el('span', { class: 'share' }, percent(other.probability))];
  const chosen = other.id === token.id;
  if (chosen || !token.owner.onbranch) return el('span', { class: chosen ? 'alternative chosen' : 'alternative' }, inside);
  return el('button', {
    type: 'button', class: 'alternative', 'aria-label': `${tokenLabel(other.bytes)}, ${percent(other.probability)}: go on from here with it`,
    onclick: () => token.owner.onbranch(token, other),
  }, inside);
}
