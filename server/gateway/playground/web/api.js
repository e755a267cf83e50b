// The gateway's own API (docs/http.md): JSON posts in Connect's form, and the stream of GenerateStream as server-sent events.

const inference = 'sluice.v1.InferenceService/';
const models = 'sluice.v1.ModelService/';
const tokenizer = 'sluice.v1.TokenizerService/';

// ApiError is an answer that is an error, in the terms of Connect's protocol.
export class ApiError extends Error {
  // fields are the request's fields at fault: [{field, description}]. reason is that of google.rpc.ErrorInfo, retry the
  // seconds after which the same request may pass.
  constructor(status, body, retry) {
    super(body.message || `HTTP ${status}`);
    this.status = status;
    this.code = body.code || `http_${status}`;
    this.fields = [];
    this.reason = '';
    this.retry = Number(retry) || 0;
    for (const { type, debug } of body.details ?? []) {
      if (!debug) continue;
      if (type === 'google.rpc.BadRequest') this.fields = debug.fieldViolations ?? [];
      if (type === 'google.rpc.ErrorInfo') this.reason = debug.reason ?? '';
      if (type === 'google.rpc.RetryInfo') this.retry = Math.max(1, Math.ceil(parseFloat(debug.retryDelay) || 0));
    }
  }
}

// Api makes calls with the key that it was given. The key is in a header and never in an address.
export class Api {
  constructor() {
    this.key = '';
  }

  // generate yields the events of a stream: [type, what it holds]. An "error" event is thrown.
  async *generate(request, signal, trace) {
    const response = await this.#post(inference + 'GenerateStream', request, {
      signal, headers: { Accept: 'text/event-stream', traceparent: trace },
    });
    let ended = false;
    for await (const { type, data } of serverSentEvents(response.body)) {
      if (type === 'error') throw new ApiError(response.status, data);
      ended = type === 'summary';
      yield [type, data[type]];
    }
    if (!ended) throw new ApiError(response.status, { code: 'unavailable', message: 'the connection ended before the answer did' });
  }

  async listModels(signal) {
    return (await this.#call(models + 'ListModels', {}, signal)).models ?? [];
  }

  async tokenize(request, signal) {
    return (await this.#call(tokenizer + 'Tokenize', request, signal)).tokens ?? [];
  }

  // metrics reads /metrics, which a key needs the right "metrics" for.
  async metrics() {
    const response = await this.#fetch('metrics', { headers: { Accept: 'text/plain' } });
    return response.text();
  }

  // curl is the command that makes a request; the key is a variable of the shell.
  curl(request) {
    const quoted = (text) => "'" + text.replaceAll("'", "'\\''") + "'";
    return [
      `curl -N ${quoted(new URL(inference + 'GenerateStream', document.baseURI).href)}`,
      `  -H 'Content-Type: application/json' -H 'Accept: text/event-stream'`,
      ...this.key ? ['  -H "Authorization: Bearer $SLUICE_API_KEY"'] : [],
      `  -d ${quoted(JSON.stringify(request))}`,
    ].join(' \\\n');
  }

  async #call(path, body, signal) {
    return (await this.#post(path, body, { signal })).json();
  }

  #post(path, body, { signal, headers }) {
    return this.#fetch(path, {
      method: 'POST', body: JSON.stringify(body), signal, headers: { 'Content-Type': 'application/json', ...headers },
    });
  }

  // Addresses are relative, so that the page works behind a proxy that gives it a path.
  async #fetch(path, options) {
    if (this.key) options.headers.Authorization = 'Bearer ' + this.key;
    let response;
    try {
      response = await fetch(path, { ...options, cache: 'no-store', credentials: 'same-origin', redirect: 'error' });
    } catch (cause) {
      if (cause.name === 'AbortError') throw cause;
      throw new ApiError(0, { code: 'unreachable', message: 'the server cannot be reached' });
    }
    if (response.ok) return response;
    const text = await response.text();
    let body = { message: text.trim() };
    try {
      body = JSON.parse(text);
    } catch {
      // plain text, such as that of /metrics
    }
    throw new ApiError(response.status, body, response.headers.get('Retry-After'));
  }
}

// serverSentEvents takes a stream apart (WHATWG HTML, section 9.2), as far as the gateway uses it: each event is a type and
// one line of JSON.
async function* serverSentEvents(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  let type = 'message';
  try {
    for (;;) {
      const { value, done } = await reader.read().catch((cause) => {
        throw cause.name === 'AbortError' ? cause : new ApiError(0, { code: 'unreachable', message: 'the connection broke off' });
      });
      if (done) return;
      const lines = (rest + value).split('\n');
      rest = lines.pop();
      for (const line of lines) {
        if (line.startsWith('event: ')) type = line.slice(7);
        else if (line.startsWith('data: ')) yield { type, data: JSON.parse(line.slice(6)) };
        else if (line === '') type = 'message';
      }
    }
  } finally {
    await reader.cancel().catch(() => {}); // it has ended, or was aborted
  }
}

// milliseconds reads a google.protobuf.Duration.
export function milliseconds(text) {
  return text ? parseFloat(text) * 1000 : 0;
}

// newTrace makes a trace id and the W3C header that has the server continue it, sampled.
export function newTrace() {
  const hex = (n) => [...crypto.getRandomValues(new Uint8Array(n))].map((b) => b.toString(16).padStart(2, '0')).join('');
  const id = hex(16);
  return { id, header: `00-${id}-${hex(8)}-01` };
}
