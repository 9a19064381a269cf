import { createInterface } from "node:readline";
import type { Readable } from "node:stream";

/** Resolves when the stream has ended. */
export async function readLines(stream: Readable, onLine: (line: string) => void): Promise<void> {
  for await (const line of createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY })) onLine(line);
}
