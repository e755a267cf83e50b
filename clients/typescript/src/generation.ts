import { create } from "@bufbuild/protobuf";

import {
  type GenerateResponse,
  type Output,
  type Timings,
  TimingsSchema,
  type Usage,
  UsageSchema,
} from "./gen/sluice/v1/inference_pb.js";

/** A whole answer. */
export class Generation {
  /** The message that the server sent. */
  readonly message: GenerateResponse;

  constructor(message: GenerateResponse) {
    this.message = message;
  }

  /** The text of the first output. */
  get text(): string {
    return this.message.outputs[0]?.text ?? "";
  }

  /** The outputs, by index: one, unless `sampling.n` asked for more. */
  get outputs(): Output[] {
    return this.message.outputs;
  }

  /** The request's id. */
  get id(): string {
    return this.message.id;
  }

  /** Name of the model that answered. */
  get model(): string {
    return this.message.model;
  }

  /** Tokens counted. */
  get usage(): Usage {
    return this.message.usage ?? create(UsageSchema);
  }

  /** Where the time went, measured in the server. */
  get timings(): Timings {
    return this.message.timings ?? create(TimingsSchema);
  }
}
