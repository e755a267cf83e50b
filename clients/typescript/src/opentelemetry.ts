/**
 * Trace propagation with OpenTelemetry. Needs the package @opentelemetry/api.
 *
 * @module
 */

import type { Interceptor } from "@connectrpc/connect";
import { context, propagation } from "@opentelemetry/api";

/**
 * Sends the active trace context with every call, by the propagator that the application has set (the SDK's default is W3C
 * trace context with baggage): the server's spans become children of the active one. A call with a `traceparent` of its own
 * keeps that.
 */
export function opentelemetry(): Interceptor {
  return (next) => (request) => {
    if (request.header.has("traceparent")) return next(request);
    propagation.inject(context.active(), request.header, { set: (header, key, value) => header.set(key, value) });
    return next(request);
  };
}
