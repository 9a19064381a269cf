import { LIMITS } from "@banyan/contracts";
import { type Clock, systemClock } from "@banyan/kernel";
import { expect, it } from "vitest";
import { readJson } from "./read-body.ts";

const post = (body: NonNullable<RequestInit["body"]>, headers: Record<string, string> = {}): Request =>
  new Request("http://x/", { method: "POST", body, headers, duplex: "half" });
/** A body in pieces, without a length, as chunked encoding brings it. */
const chunked = (pieces: Iterable<string>): Request => post(ReadableStream.from(bytesOf(pieces)), { "transfer-encoding": "chunked" });

function* bytesOf(pieces: Iterable<string>): Generator<Uint8Array> {
  for (const piece of pieces) yield new TextEncoder().encode(piece);
}

it("reads JSON, announced or in pieces, and takes nothing for an empty object", async () => {
  expect(await readJson(post('{"a":1}', { "content-length": "7" }), systemClock)).toEqual({ a: 1 });
  expect(await readJson(chunked(['{"a"', ":1}"]), systemClock)).toEqual({ a: 1 });
  expect(await readJson(new Request("http://x/", { method: "POST" }), systemClock)).toEqual({});
});

it("refuses a large body by its announcement, or as soon as too much has come", async () => {
  const announced = post("{}", { "content-length": String(LIMITS.jsonBodyBytes + 1) });
  await expect(readJson(announced, systemClock)).rejects.toMatchObject({ code: "request.too_large" });
  let sent = 0;
  function* endless(): Generator<string> {
    for (;;) {
      sent += 65_536;
      yield " ".repeat(65_536);
    }
  }
  await expect(readJson(chunked(endless()), systemClock)).rejects.toMatchObject({ code: "request.too_large" });
  expect(sent).toBeLessThan(LIMITS.jsonBodyBytes * 2);
});

it("gives up on a body that does not come", async () => {
  const impatient: Clock = { ...systemClock, sleep: async () => {} };
  const silent = post(new ReadableStream({}), { "transfer-encoding": "chunked" });
  await expect(readJson(silent, impatient)).rejects.toMatchObject({ code: "request.timeout", kind: "timeout" });
});
