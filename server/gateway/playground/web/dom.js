// What builds the page. Text becomes text nodes and never markup: nothing here, or anywhere in the playground, parses HTML,
// and the Content-Security-Policy (trusted types) lets no script try.

// el makes an element. A property that begins with "on" is a listener; undefined, null and false leave an attribute out.
export function el(tag, properties = {}, ...children) {
  return fill(document.createElement(tag), properties, children);
}

// svg makes an element of a drawing.
export function svg(tag, properties = {}, ...children) {
  return fill(document.createElementNS('http://www.w3.org/2000/svg', tag), properties, children);
}

function fill(node, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? '' : String(value));
  }
  node.append(...children.flat().filter((child) => child !== undefined && child !== null && child !== false));
  return node;
}

// byId finds an element that index.html has.
export function byId(id) {
  return document.getElementById(id);
}

// say tells people who listen to the page rather than look at it.
export function say(text) {
  byId('status').textContent = text;
}

// visible writes a token so that its white space can be seen.
export function visible(text) {
  return text.replaceAll(' ', '␣').replaceAll('\n', '↵').replaceAll('\t', '⇥').replaceAll('\r', '␍');
}

// bytes decodes base64.
export function bytes(base64 = '') {
  return Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
}

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

// utf8 decodes bytes that are whole characters; undefined: they are not.
export function utf8(raw) {
  try {
    return strict.decode(raw);
  } catch {
    return undefined;
  }
}

// tokenLabel names a token for people: its text, or its bytes where those are no whole characters.
export function tokenLabel(raw) {
  const text = utf8(raw);
  if (text !== undefined) return visible(text);
  return [...raw].map((b) => '\\x' + b.toString(16).padStart(2, '0')).join('');
}

// percent writes a probability.
export function percent(p) {
  if (p >= 0.9995) return '100 %';
  if (p < 0.0001) return '<0.01 %';
  return (p * 100).toPrecision(3).replace(/\.?0+$/, '') + ' %';
}

// duration writes milliseconds.
export function duration(ms) {
  if (ms < 10) return ms.toFixed(1) + ' ms';
  if (ms < 1000) return Math.round(ms) + ' ms';
  return (ms / 1000).toFixed(2) + ' s';
}

// copy puts a text on the clipboard and says so on the button that asked for it.
export async function copy(text, button) {
  const label = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = 'Copied';
  } catch { // the clipboard is for secure origins only
    button.textContent = 'Not allowed here';
  }
  setTimeout(() => { button.textContent = label; }, 1500);
}
