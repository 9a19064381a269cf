import { type ForkChildrenFinished, type InputOf, LIMITS } from "@banyan/contracts";
import type { OutcomeRecord } from "../sandboxes/outcomes.ts";

/** Far below what one message of the bus may have. A single outcome may be larger, and is still within that. */
const BATCH_BYTES_MAX = 400 * 1024;

export interface OutcomeBatch {
  event: InputOf<typeof ForkChildrenFinished>;
  records: OutcomeRecord[];
}

/** What is said together: outcomes of one fork, in their order, bounded in number and size. */
export function outcomeBatches(nodeId: string, records: readonly OutcomeRecord[]): OutcomeBatch[] {
  const batches: OutcomeBatch[] = [];
  const open = new Map<string, { batch: OutcomeBatch; bytes: number }>();
  for (const record of records) {
    const { forkId, index, sandboxId, epoch, outcome, sandbox, at } = record;
    if (sandbox === null) continue;
    const child = { index, sandboxId, epoch, outcome, sandbox, at };
    const bytes = Buffer.byteLength(JSON.stringify(child));
    let last = open.get(forkId);
    if (last === undefined || last.bytes + bytes > BATCH_BYTES_MAX || last.batch.records.length === LIMITS.forkFinishedBatchMax) {
      last = { batch: { event: { forkId, nodeId, children: [] }, records: [] }, bytes: 0 };
      open.set(forkId, last);
      batches.push(last.batch);
    }
    last.bytes += bytes;
    last.batch.event.children.push(child);
    last.batch.records.push(record);
  }
  return batches;
}
