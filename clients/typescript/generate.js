// Regenerates src/gen from proto/sluice/v1 and Google's error details: `npm run generate`; with --check it only says whether
// src/gen is what it would write. package-lock.json pins the generator, and the same versions give the same bytes.

import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, "..", "..");
const target = join(here, "src", "gen");
const details = join("google", "rpc", "error_details.proto");

// requirements-test.txt pins the package googleapis-common-protos, which has the file.
function errorDetails() {
  const lib = join(root, ".venv", "lib");
  for (const python of existsSync(lib) ? readdirSync(lib) : []) {
    const file = join(lib, python, "site-packages", details);
    if (existsSync(file)) return file;
  }
  throw new Error(`${details} is missing: run make .venv/.stamp`);
}

function generate(input, path, out) {
  const buf = join(here, "node_modules", ".bin", "buf");
  execFileSync(buf, ["generate", input, "--path", join(input, path), "-o", out], { cwd: here, stdio: "inherit" });
}

// Maps each file below a folder to its text.
function read(folder, files = new Map(), top = folder) {
  for (const entry of existsSync(folder) ? readdirSync(folder, { withFileTypes: true }) : []) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) read(path, files, top);
    else files.set(relative(top, path), readFileSync(path, "utf8"));
  }
  return files;
}

const scratch = mkdtempSync(join(tmpdir(), "sluice-generate-"));
try {
  const out = join(scratch, "out");
  const google = join(scratch, "google-protos");
  mkdirSync(join(google, dirname(details)), { recursive: true });
  cpSync(errorDetails(), join(google, details));
  generate(join(root, "proto"), join("sluice", "v1"), out);
  generate(google, details, out);
  if (process.argv.includes("--check")) {
    const [want, got] = [read(out), read(target)];
    const stale = [...new Set([...want.keys(), ...got.keys()])].filter((file) => want.get(file) !== got.get(file));
    if (stale.length > 0) {
      console.error(`src/gen is not what the protos say, run npm run generate: ${stale.join(", ")}`);
      process.exitCode = 1;
    }
  } else {
    rmSync(target, { recursive: true, force: true });
    cpSync(out, target, { recursive: true });
  }
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
