import { Readable } from "node:stream";
import { expect, it } from "vitest";
import { rewriteTar } from "./tar-rewrite.ts";

const BLOCK_BYTES = 512;

it("reads a tar to its end, also what fills its last record: its writer waits for that", async () => {
  const zeros = Buffer.alloc(BLOCK_BYTES);
  let ended = false;
  async function* tar() {
    yield Buffer.concat([zeros, zeros]);
    for (let block = 2; block < 20; block++) yield zeros;
    ended = true;
  }
  const rewritten: Buffer[] = [];
  for await (const chunk of rewriteTar(Readable.from(tar()), () => ({ kind: "keep" }))) rewritten.push(chunk);
  expect(ended).toBe(true);
  expect(Buffer.concat(rewritten)).toEqual(Buffer.concat([zeros, zeros]));
});
