// The playground: what holds the views together. Nothing is kept but the choice of colours and, where that was asked for,
// the key, until the tab is closed.
import { Api } from './api.js';
import { Chat } from './chat.js';
import { Completion } from './completion.js';
import { byId, el, say } from './dom.js';
import { Server } from './server.js';
import { Settings } from './settings.js';
import { TokenizerView } from './tokenizer.js';
import { card } from './tokens.js';

const api = new Api();
const settings = new Settings(byId('sampling'));
const model = () => byId('model').value;
let running; // the answer that is being made
let current = 'chat'; // view

// begin has an answer run, from its beginning or behind a text.
async function begin(answer, prefix) {
  settings.mark();
  running = answer;
  const ended = answer.run(prefix);
  server.hurry();
  busy();
  await ended;
  busy();
}

// busy shows on the buttons whether something runs: what sends is what stops.
function busy() {
  const on = running?.running ?? false;
  for (const button of document.querySelectorAll('[data-run]')) {
    button.textContent = on ? 'Stop' : button.dataset.run;
    button.type = on ? 'button' : 'submit';
    button.classList.toggle('stop', on);
    button.title = on ? 'Esc' : '';
  }
}

for (const button of document.querySelectorAll('[data-run]')) {
  button.addEventListener('click', (event) => {
    if (!running?.running) return;
    event.preventDefault();
    running.stop();
  });
}

// failed takes note of what a call's error says of the page's own controls.
function failed(error) {
  settings.mark(error.fields);
  if (error.status === 401) unauthenticated();
  if (error.reason === 'REQUEST_QUOTA_SPENT') server.spare(error);
}

const page = { api, settings, model, begin, idle: () => !running?.running, onerror: failed };
const views = { chat: new Chat(page), completion: new Completion(page), tokenizer: new TokenizerView(page) };

// Views, as tabs: the arrow keys move among them.
const tabs = [...document.querySelectorAll('[role=tab]')];

function select(name, focus = false) {
  current = name;
  for (const tab of tabs) {
    const on = tab.dataset.view === name;
    tab.setAttribute('aria-selected', String(on));
    tab.tabIndex = on ? 0 : -1;
    byId('view-' + tab.dataset.view).hidden = !on;
    if (on && focus) tab.focus();
  }
  byId('side').classList.toggle('plain', name === 'tokenizer');
  card.hide();
  if (name === 'tokenizer') views.tokenizer.refresh();
  if (!focus && matchMedia('(hover: hover)').matches) byId(name + '-input').focus(); // where that opens no keyboard on the screen
}

tabs.forEach((tab, i) => {
  tab.addEventListener('click', () => select(tab.dataset.view));
  tab.addEventListener('keydown', (event) => {
    const to = { ArrowRight: i + 1, ArrowLeft: i - 1, Home: 0, End: tabs.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    select(tabs[(to + tabs.length) % tabs.length].dataset.view, true);
  });
});

// The key is in memory, and in the tab's storage if that was asked for; never in an address, and nowhere for long.
const stored = 'sluice-key';

function unauthenticated() {
  byId('banner').hidden = false;
  byId('banner-key').hidden = false;
  byId('banner-text').textContent = api.key ? 'The server does not take this API key.' : 'This server asks for an API key.';
}

function useKey(key, keep) {
  api.key = key;
  byId('key-button').classList.toggle('set', key !== '');
  try {
    if (keep && key) sessionStorage.setItem(stored, key);
    else sessionStorage.removeItem(stored);
  } catch {
    // storage is switched off
  }
}

try {
  const key = sessionStorage.getItem(stored);
  if (key) {
    useKey(key, true);
    byId('key-keep').checked = true;
  }
} catch {
  // storage is switched off
}

// Models.
const server = new Server(api, {
  gauges: byId('gauges'), list: byId('models'),
  onmodels(models) {
    const before = model();
    byId('model').replaceChildren(...models.map((m) => el('option', { value: m.name, disabled: m.state !== 'MODEL_STATE_READY' }, m.name)));
    if (models.some((m) => m.name === before)) byId('model').value = before;
    chosen();
  },
  onerror(error) {
    document.documentElement.classList.toggle('offline', Boolean(error));
    byId('banner').hidden = !error;
    if (!error) return;
    if (error.status === 401) unauthenticated();
    else byId('banner-text').textContent = `${error.message} (${error.code})`;
    byId('banner-key').hidden = error.status !== 401 && error.status !== 403;
  },
});

function chosen() {
  const found = server.models.find((m) => m.name === model());
  byId('chat-none').hidden = !found || (found.chat ?? false);
  if (current === 'tokenizer') views.tokenizer.refresh();
}

byId('model').addEventListener('change', chosen);

// The dialog of the key.
function askKey() {
  byId('key').value = api.key;
  byId('key-dialog').showModal();
}

byId('key-button').addEventListener('click', askKey);
byId('banner-key').addEventListener('click', askKey);
byId('key-form').addEventListener('submit', (event) => {
  event.preventDefault();
  useKey(byId('key').value.trim(), byId('key-keep').checked);
  byId('key-dialog').close();
  byId('banner').hidden = true;
  say('Key set.');
  server.retry();
});
byId('key-forget').addEventListener('click', () => {
  byId('key').value = '';
  byId('key-keep').checked = false;
  useKey('', false);
  byId('key-dialog').close();
  server.retry();
});

// Colours: the system's until a choice is made.
byId('theme').addEventListener('click', () => {
  const dark = getComputedStyle(document.documentElement).colorScheme === 'dark'
    || (!document.documentElement.dataset.theme && matchMedia('(prefers-color-scheme: dark)').matches);
  const theme = dark ? 'light' : 'dark';
  document.documentElement.dataset.theme = theme;
  say(`Colours: ${theme}.`);
  try {
    localStorage.setItem('sluice-theme', theme);
  } catch {
    // until the page is left
  }
});

// On a narrow screen the side is a sheet over the page.
const side = byId('side');

function sheet(open) {
  side.classList.toggle('open', open);
  byId('side-button').setAttribute('aria-expanded', String(open));
  byId('views').inert = open;
  (open ? byId('side-close') : byId('side-button')).focus();
}

byId('side-button').addEventListener('click', () => sheet(true));
byId('side-close').addEventListener('click', () => sheet(false));
byId('help-button').addEventListener('click', () => byId('help').showModal());
for (const button of document.querySelectorAll('[data-close]')) {
  button.addEventListener('click', () => button.closest('dialog').close());
}

document.addEventListener('keydown', (event) => {
  if (event.key === 'Escape' && !document.querySelector('dialog[open]')) {
    if (card.dismiss()) return;
    if (side.classList.contains('open')) sheet(false);
    else running?.stop();
  } else if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    views[current].send?.();
  } else if (event.key === '/' && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    byId('help').showModal();
  }
});
document.addEventListener('pointerdown', (event) => {
  if (!event.target.closest('#card, .token')) card.hide();
});
select('chat');
