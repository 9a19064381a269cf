import type { Context } from "../context.ts";
import type { WorkTable } from "../store/claim-work.ts";
import { findVersionById } from "../store/find-version.ts";
import { findVolumeById } from "../store/find-volume.ts";

const LOOK_EVERY_MS = 100;

/** Has it done and waits as long as an answer may wait; what takes longer goes on. Throws why it failed. */
export async function workOff(ctx: Context, table: WorkTable, row: { id: string; isCopy: boolean }): Promise<void> {
  const begun = await ctx.works.offer(table, row);
  const enough = new AbortController();
  const { signal } = enough;
  const waited = ctx.clock.sleep(ctx.config.answerWaitMs, signal).catch(() => {});
  // Another process may have taken it up first.
  const ended = await Promise.race([begun?.ended ?? moved(ctx, table, row.id, signal), waited.then(() => null)]);
  enough.abort();
  if (ended?.kind === "failed") throw ended.error;
}

/** Resolves when nothing of it is under way any more, as the row tells. */
async function moved({ db, clock }: Context, table: WorkTable, id: string, signal: AbortSignal): Promise<null> {
  while (!signal.aborted) {
    const row = await (table === "volumes" ? findVolumeById(db, id) : findVersionById(db, id)).catch(() => null);
    if (row !== null && row.state !== "creating" && row.state !== "restoring") return null;
    await clock.sleep(LOOK_EVERY_MS, signal).catch(() => {});
  }
  return null;
}
