/** Says whether a URL's host is certain to be this machine. */
function isLoopback({ hostname }: URL): boolean {
  return hostname === "localhost" || hostname === "[::1]" || /^127(\.\d+){3}$/.test(hostname);
}

/** What keeps an API key off the wire. */
export interface ClearTextOptions {
  /** Send the API key without TLS: something else protects the connection, such as a mesh's sidecar. */
  allowClearTextApiKey?: boolean;
}

/** Throws a TypeError if an API key would travel in clear text to another machine. */
export function checkClearText(url: URL, options: ClearTextOptions & { apiKey?: string }): void {
  if (options.apiKey === undefined || options.allowClearTextApiKey === true) return;
  if (url.protocol !== "https:" && !isLoopback(url)) {
    throw new TypeError("an API key needs TLS, since the address is not this machine's");
  }
}
