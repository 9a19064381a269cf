import { expect, it } from "vitest";
import { Demultiplexer } from "./demultiplexer.ts";

function frame(stream: number, text: string): Buffer {
  const header = Buffer.from([stream, 0, 0, 0, 0, 0, 0, 0]);
  header.writeUInt32BE(Buffer.byteLength(text), 4);
  return Buffer.concat([header, Buffer.from(text)]);
}

function demultiplex(chunks: Buffer[]): string {
  const output: Record<string, string> = { stdout: "", stderr: "" };
  const demultiplexer = new Demultiplexer((stream, bytes) => {
    output[stream] += bytes.toString();
  });
  for (const chunk of chunks) demultiplexer.write(chunk);
  return `${output.stdout}|${output.stderr}`;
}

it("keeps the two streams apart, wherever the bytes were cut", () => {
  const bytes = Buffer.concat([frame(1, "out"), frame(2, "err"), frame(1, ""), frame(1, "more")]);
  expect(demultiplex([bytes])).toBe("outmore|err");
  expect(demultiplex([...bytes].map((byte) => Buffer.from([byte])))).toBe("outmore|err");
});

it("takes very many small frames at once", () => {
  expect(demultiplex([Buffer.concat(Array.from({ length: 50_000 }, () => frame(1, "x")))])).toHaveLength(50_001);
});
