import type { ChangedFile } from "./git-patch.ts";
import type { ChangePart, ChangesEnd } from "./read-changes.ts";

/** Each change with its content, which the query has bounded; at last the end. */
export async function* changedFiles(parts: AsyncIterable<ChangePart>): AsyncGenerator<ChangedFile | { end: ChangesEnd }, void, undefined> {
  let file: ChangedFile | null = null;
  let chunks: { now: Buffer[]; before: Buffer[] } = { now: [], before: [] };
  const whole = (one: ChangedFile): ChangedFile => ({
    change: one.change,
    now: one.change.bytes === null ? null : Buffer.concat(chunks.now),
    before: one.change.bytesBefore === null ? null : Buffer.concat(chunks.before),
  });
  for await (const part of parts) {
    if ("data" in part) {
      chunks[part.of].push(part.data);
      continue;
    }
    if (file !== null) yield whole(file);
    if ("end" in part) {
      yield part;
      return;
    }
    chunks = { now: [], before: [] };
    file = { change: part.change, now: null, before: null };
  }
}
