/** The real server, and a scripted one for what that does not do on demand. */

import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { createServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import type { ServiceImpl } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";

import { Client } from "../src/node.js";
import { InferenceService } from "../src/v1.js";

/** The repository, seen from clients/typescript/.build/test. */
export const root = fileURLToPath(new URL("../../../../", import.meta.url));
export const binary = process.env["SLUICE_BIN"] ?? `${root}bin/sluice`;
export const model = "smollm2-135m-instruct";

const stopTimeout = 120_000; // milliseconds that a server may take to drain before it is killed

/** `sluice serve` with the cache's model. */
export class Server {
  grpcAddr = "";
  httpAddr = "";
  readonly #process: ChildProcess;
  readonly #exited: Promise<number | null>;
  #log = "";

  private constructor(options: string[]) {
    const addresses = ["--grpc-addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0"];
    const args = ["serve", ...addresses, "--drain-delay", "0s", "--log-format", "json", ...options];
    this.#process = spawn(binary, args, { stdio: ["ignore", "ignore", "pipe"] });
    this.#exited = new Promise((resolve) => this.#process.once("close", resolve));
  }

  /** Resolves once the model is loaded and warm. */
  static async start(...options: string[]): Promise<Server> {
    const server = new Server(options);
    await new Promise<void>((resolve, reject) => {
      server.#process.once("error", reject);
      createInterface(server.#process.stderr!).on("line", (line) => {
        server.#log += `${line}\n`;
        const found = /"grpc_addr":"([^"]+)","http_addr":"([^"]+)"/.exec(line);
        if (found === null) return;
        [, server.grpcAddr = "", server.httpAddr = ""] = found;
        resolve();
      });
      void server.#exited.then(() => reject(new Error(`the server does not serve (not set up? make setup):\n${server.#log}`)));
    });
    return server;
  }

  /** Drains the server, and kills it if that takes too long. Throws unless it ends well. */
  async stop(): Promise<void> {
    this.#process.kill("SIGTERM");
    const late = setTimeout(() => this.#process.kill("SIGKILL"), stopTimeout);
    const code = await this.#exited;
    clearTimeout(late);
    if (code !== 0) throw new Error(`the server ended with ${code}:\n${this.#log}`);
  }
}

/** Runs the binary and returns what it prints. */
export function sluice(args: string[], input = ""): string {
  return execFileSync(binary, args, { input, encoding: "utf8" });
}

/** Number of sequences that the default model holds. */
export async function running(client: Client): Promise<number> {
  return (await client.models())[0]!.replicas.reduce((sum, replica) => sum + replica.running, 0);
}

/** Resolves once the server has nothing to do; the runner's time limit is the limit. */
export async function idle(client: Client): Promise<void> {
  while ((await running(client)) > 0) await sleep(10);
}

/** Serves an implementation of InferenceService over HTTP/2 without TLS. */
export async function scripted(implementation: Partial<ServiceImpl<typeof InferenceService>>) {
  const server = createServer(connectNodeAdapter({ routes: (router) => router.service(InferenceService, implementation) }));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return { addr: `127.0.0.1:${port}`, close: () => void server.close() };
}
