import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { durationMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";

import {
  BadRequestSchema,
  ErrorInfoSchema,
  ResourceInfoSchema,
  RetryInfoSchema,
} from "./gen/google/rpc/error_details_pb.js";

/** A gRPC status other than OK, by its standard name. */
export type StatusCode =
  | "CANCELLED"
  | "UNKNOWN"
  | "INVALID_ARGUMENT"
  | "DEADLINE_EXCEEDED"
  | "NOT_FOUND"
  | "ALREADY_EXISTS"
  | "PERMISSION_DENIED"
  | "RESOURCE_EXHAUSTED"
  | "FAILED_PRECONDITION"
  | "ABORTED"
  | "OUT_OF_RANGE"
  | "UNIMPLEMENTED"
  | "INTERNAL"
  | "UNAVAILABLE"
  | "DATA_LOSS"
  | "UNAUTHENTICATED";

const names: Record<Code, StatusCode> = {
  [Code.Canceled]: "CANCELLED",
  [Code.Unknown]: "UNKNOWN",
  [Code.InvalidArgument]: "INVALID_ARGUMENT",
  [Code.DeadlineExceeded]: "DEADLINE_EXCEEDED",
  [Code.NotFound]: "NOT_FOUND",
  [Code.AlreadyExists]: "ALREADY_EXISTS",
  [Code.PermissionDenied]: "PERMISSION_DENIED",
  [Code.ResourceExhausted]: "RESOURCE_EXHAUSTED",
  [Code.FailedPrecondition]: "FAILED_PRECONDITION",
  [Code.Aborted]: "ABORTED",
  [Code.OutOfRange]: "OUT_OF_RANGE",
  [Code.Unimplemented]: "UNIMPLEMENTED",
  [Code.Internal]: "INTERNAL",
  [Code.Unavailable]: "UNAVAILABLE",
  [Code.DataLoss]: "DATA_LOSS",
  [Code.Unauthenticated]: "UNAUTHENTICATED",
};

/** One wrong field of a request. */
export interface FieldViolation {
  /** Path in the request, such as "sampling.top_p". */
  readonly field: string;
  /** What is wrong and what is allowed. */
  readonly description: string;
}

/** A failed call: the server's status with its details, or the transport's own. */
export class SluiceError extends Error {
  override readonly name = "SluiceError";
  /** The gRPC status. */
  readonly code: StatusCode;
  /** The server's text, without the code that `message` begins with. */
  readonly rawMessage: string;
  /** The fields that an INVALID_ARGUMENT is about. */
  readonly fieldViolations: readonly FieldViolation[];
  /** Milliseconds that the server asks to wait before the next try; undefined if it does not say. */
  readonly retryAfterMs: number | undefined;
  /**
   * Milliseconds after which the server wants the next try, by gRPC's own trailer for that (gRFC A6), which rules when a call is
   * tried again; "never": not at all; undefined: it leaves that to the client.
   */
  readonly pushbackMs: number | "never" | undefined;
  /** The machine-readable reason that the server gave, such as "QUEUE_FULL", or "". */
  readonly reason: string;
  /** Name of the resource that a NOT_FOUND is about, such as a model's, or "". */
  readonly resource: string;

  /** `status`, where given, is held to be the true code of the error of the transport, which becomes the `cause`. */
  constructor(error: ConnectError, status?: StatusCode) {
    const code = status ?? names[error.code] ?? "UNKNOWN";
    super(`${code}: ${error.rawMessage}`, { cause: error });
    this.code = code;
    this.rawMessage = error.rawMessage;
    this.fieldViolations = (detail(error, BadRequestSchema)?.fieldViolations ?? []).map(
      ({ field, description }) => ({ field, description }),
    );
    const delay = detail(error, RetryInfoSchema)?.retryDelay;
    this.retryAfterMs = delay && durationMs(delay);
    this.pushbackMs = pushback(error.metadata);
    this.reason = detail(error, ErrorInfoSchema)?.reason ?? "";
    this.resource = detail(error, ResourceInfoSchema)?.resourceName ?? "";
  }
}

/** Makes an error that the client itself finds. */
export function failure(code: StatusCode, message: string, cause?: unknown): SluiceError {
  return new SluiceError(new ConnectError(message, undefined, undefined, undefined, cause), code);
}

/** Reads the trailer; what is below 0 or no number means never. */
function pushback(metadata: Headers): number | "never" | undefined {
  const text = metadata.get("grpc-retry-pushback-ms");
  if (text === null) return undefined;
  return /^\d+$/.test(text) ? Number(text) : "never";
}

function detail<D extends DescMessage>(error: ConnectError, schema: D): MessageShape<D> | undefined {
  return error.findDetails(schema)[0];
}
