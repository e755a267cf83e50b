// Errors as people read them: what happened, which fields are at fault, what to do.
import { el } from './dom.js';
import { ApiError } from './api.js';

const titles = {
  invalid_argument: 'The request is not valid',
  unauthenticated: 'A valid API key is needed',
  permission_denied: 'This key may not do that',
  not_found: 'There is no such thing here',
  resource_exhausted: 'The server takes no more right now',
  unavailable: 'The server is not available',
  deadline_exceeded: 'It took too long',
  unreachable: 'The server cannot be reached',
  aborted: 'The server gave the request up',
  internal: 'The server failed',
};

// errorView shows an error.
export function errorView(error) {
  if (!(error instanceof ApiError)) console.error(error); // a fault of this page
  const { code = 'fault', message, fields = [], reason, retry } = error;
  return el('div', { class: 'error', role: 'alert' },
    el('p', {}, el('strong', {}, titles[code] ?? 'It did not work'), ' ', el('code', {}, reason ? `${code} · ${reason}` : code)),
    fields.length > 0
      ? el('ul', {}, fields.map(({ field, description }) => el('li', {}, el('code', {}, field), ' ', description)))
      : el('p', {}, message),
    retry > 0 && el('p', {}, `Try again in ${retry} s.`));
}
