/**
 * Client of Sluice for browsers, and for whatever else has `fetch`: Connect's protocol, which the server's HTTP address speaks.
 *
 * @module
 */

import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-web";

import { checkClearText, type ClearTextOptions } from "./address.js";
import { Client, type ClientOptions } from "./client.js";

export * from "./public.js";

/** How a client for browsers connects. */
export interface WebClientOptions extends Omit<ClientOptions, "close">, ClearTextOptions {
  /** Used in place of the global fetch, to send cookies for example. */
  fetch?: typeof globalThis.fetch;
  /** Connect's interceptors, such as `opentelemetry()`. */
  interceptors?: Interceptor[];
}

/**
 * Makes a client of the server whose HTTP address (`--http-addr`) a URL names. For a page that comes from
 * elsewhere the server has to be started with `--cors-origin`.
 */
export function createClient(baseUrl: string | URL, options: WebClientOptions = {}): Client {
  const url = new URL(baseUrl);
  checkClearText(url, options);
  const transport = createConnectTransport({
    baseUrl: url.href,
    useBinaryFormat: true,
    interceptors: options.interceptors ?? [],
    fetch: unavailableWithoutAnswer(options.fetch ?? globalThis.fetch),
  });
  return new Client(transport, options);
}

/** Has a fetch fail with the status UNAVAILABLE, as gRPC does, where no answer comes: it throws a TypeError then. */
function unavailableWithoutAnswer(fetch: typeof globalThis.fetch): typeof globalThis.fetch {
  return async (input, init) => {
    try {
      return await fetch(input, init);
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      throw new ConnectError("the server cannot be reached", Code.Unavailable, undefined, undefined, error);
    }
  };
}
