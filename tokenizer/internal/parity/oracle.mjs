// Hugging Face's tokenizers for JavaScript as a second judge of package tokenizer. Run by javascript_test.go.
//
//     node oracle.mjs MODULE TOKENIZER.JSON CORPUS OUT   encode it, special tokens in the text recognised
//
// The files are those of oracle.py.
import { closeSync, openSync, readFileSync, writeSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [module, tokenizer, source, out] = process.argv.slice(2);
const { Tokenizer } = await import(pathToFileURL(module));
const judge = new Tokenizer(JSON.parse(readFileSync(tokenizer, "utf8")), {});
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
const corpus = readFileSync(source);
const file = openSync(out, "w");
for (let at = 0; at < corpus.length; ) {
  const end = at + 4 + corpus.readUInt32LE(at);
  const { ids } = judge.encode(decoder.decode(corpus.subarray(at + 4, end)), { add_special_tokens: false });
  const frame = Buffer.alloc(4 + 4 * ids.length);
  frame.writeUInt32LE(4 * ids.length, 0);
  ids.forEach((id, i) => frame.writeUInt32LE(id, 4 + 4 * i));
  writeSync(file, frame);
  at = end;
}
closeSync(file);
