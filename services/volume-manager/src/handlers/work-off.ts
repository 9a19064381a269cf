import type { Context } from "../context.ts";
import type { WorkTable } from "../store/claim-work.ts";

/** Has it done and waits as long as an answer may wait; what takes longer goes on. Throws why it failed. */
export async function workOff(ctx: Context, table: WorkTable, row: { id: string; isCopy: boolean }): Promise<void> {
  const begun = await ctx.works.offer(table, row);
  if (begun === null) return;
  const enough = new AbortController();
  const waited = ctx.clock.sleep(ctx.config.answerWaitMs, enough.signal).catch(() => {});
  const ended = await Promise.race([begun, waited.then(() => null)]);
  enough.abort();
  if (ended?.kind === "failed") throw ended.error;
}
