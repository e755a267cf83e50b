/**
 * Client of Sluice for Node: gRPC over HTTP/2. `@sluiceml/client/web` is the one for browsers.
 *
 * @module
 */

import type { ClientSessionOptions, SecureClientSessionOptions } from "node:http2";

import type { Interceptor } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";

import { checkClearText, type ClearTextOptions } from "./address.js";
import { Client, type ClientOptions } from "./client.js";

export * from "./public.js";

/** Largest answer, in bytes: the server's own limit. */
const readMaxBytes = 16 << 20;

/** What PEM files hold. */
export type Pem = string | Uint8Array;

/** How to connect with TLS. */
export interface TlsOptions {
  /** Certificates of the authorities to trust, PEM. Default: those that Node brings along. */
  ca?: Pem | Pem[];
  /** Certificate chain to show to a server that asks for one (mutual TLS), PEM. */
  cert?: Pem;
  /** Private key of `cert`, PEM. */
  key?: Pem;
  /** Name that the server's certificate must have. Default: the address's host. */
  serverName?: string;
}

/** How to keep connections through routers that forget silent ones, and to notice dead ones. */
export interface KeepAlive {
  /** Milliseconds of silence before a ping; at least 10000, since the server sends away who pings more often. */
  intervalMs: number;
  /** Milliseconds that its answer may take. */
  timeoutMs: number;
}

/** How a client for Node connects. */
export interface NodeClientOptions extends Omit<ClientOptions, "close">, ClearTextOptions {
  /** TLS: true trusts the authorities that Node brings along. Default: as the address's scheme says, else plain text. */
  tls?: boolean | TlsOptions;
  /** Pings while calls run; default every 30 s, answered within 15 s. false: none. */
  keepAlive?: KeepAlive | false;
  /** Connect's interceptors, such as `opentelemetry()`. */
  interceptors?: Interceptor[];
}

/**
 * Makes a client of the server at an address: "host:port", or a URL with the scheme http or https. It does not connect: the
 * first call does. Close the client when it is no longer needed; an open one does not keep the process alive.
 */
export function createClient(address = "127.0.0.1:50051", options: NodeClientOptions = {}): Client {
  const url = urlOf(address, options.tls);
  checkClearText(url, options);
  const keepAlive = options.keepAlive ?? { intervalMs: 30_000, timeoutMs: 15_000 };
  const pings = keepAlive === false ? {} : { pingIntervalMs: keepAlive.intervalMs, pingTimeoutMs: keepAlive.timeoutMs };
  const sessionManager = new Http2SessionManager(url.href, pings, sessionOptions(options.tls));
  const transport = createGrpcTransport({
    baseUrl: url.href,
    sessionManager,
    readMaxBytes,
    interceptors: options.interceptors ?? [],
  });
  return new Client(transport, { ...options, close: () => sessionManager.abort() });
}

function urlOf(address: string, tls: boolean | TlsOptions | undefined): URL {
  const url = new URL(/^\w+:\/\//.test(address) ? address : `${tls ? "https" : "http"}://${address}`);
  if (url.protocol !== "http:" && url.protocol !== "https:") {
    throw new TypeError(`the address ${address} is neither host:port nor a URL of http or https`);
  }
  if (tls !== undefined && (url.protocol === "https:") !== (tls !== false)) {
    throw new TypeError(`the address ${address} and the option tls contradict each other`);
  }
  return url;
}

function sessionOptions(tls: boolean | TlsOptions | undefined): ClientSessionOptions | SecureClientSessionOptions {
  // In megabytes. Beyond it Node drops answers and refuses calls; its default is 10, and one request may have 16.
  const memory = { maxSessionMemory: 1024 };
  if (typeof tls !== "object") return memory;
  const { serverName, ...pem } = tls;
  // Node takes any bytes where its types say Buffer.
  return { ...memory, ...(pem as SecureClientSessionOptions), ...(serverName === undefined ? {} : { servername: serverName }) };
}
