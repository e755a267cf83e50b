// Aligner finds out which part of an answer's text each of its tokens became.
//
// A delta has text and tokens, but they do not go one by one: a character may take several tokens, an end token has no
// text, and text that may be the beginning of a stop string is held back. So tokens wait until their text comes, and those
// whose text does not come have none. Text that no token claims is passed on as it is: what is shown is always exactly
// what the server sent.
export class Aligner {
  #decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  #waiting = []; // tokens whose text has not come: {token, rest, seen}
  #begun = false;

  // push takes what a delta has; each token has its bytes. It returns pieces in order: {token, text}, a token once or, when
  // its text comes in parts, again; and {text} without a token.
  push(text, tokens) {
    for (const token of tokens) {
      this.#waiting.push({ token, rest: this.#decoder.decode(token.bytes, { stream: true }), seen: false });
    }
    const pieces = [];
    while (this.#waiting.length > 0) {
      const head = this.#waiting[0];
      if (head.rest === '') { // all of it has come, or the token that ends the character has its text
        this.#drop(pieces);
      } else if (text === '') {
        break;
      } else {
        const length = Math.min(text.length, head.rest.length);
        if (text.slice(0, length) === head.rest.slice(0, length)) {
          pieces.push({ token: head.token, text: text.slice(0, length) });
          text = text.slice(length);
          head.rest = head.rest.slice(length);
          head.seen = this.#begun = true;
        } else if (!this.#begun && head.rest.startsWith(' ')) { // decoders leave out the space at the beginning
          head.rest = head.rest.slice(1);
        } else {
          this.#drop(pieces);
        }
      }
    }
    if (text !== '') {
      this.#begun = true;
      pieces.push({ text });
    }
    return pieces;
  }

  // end returns the tokens that still wait: there is no text of them.
  end() {
    const pieces = [];
    while (this.#waiting.length > 0) this.#drop(pieces);
    return pieces;
  }

  #drop(pieces) {
    const { token, seen } = this.#waiting.shift();
    if (!seen) pieces.push({ token, text: '' });
  }
}
