import { forEachAtMost } from "@banyan/service";
import type { Context } from "../context.ts";
import type { Retries } from "../memory/retries.ts";
import { settleEarlier } from "../settle-mount.ts";

const PAGE = 100;
const PAGES_MAX = 100;
const PARALLEL = 8;

/** Settles what was being mounted or unmounted when this process, or the one before it, lost hold of it. */
export async function settleMounts(ctx: Context, retries: Retries): Promise<void> {
  let after = "";
  for (let pages = 0; pages < PAGES_MAX; pages++) {
    const ids = await ctx.store.listMountIntents(after, PAGE);
    // Whoever is at work on one settles it.
    const due = ids.filter((id) => !ctx.lanes.isBusy(id) && retries.isDue(id, ctx.clock.monotonicMs()));
    await forEachAtMost(due, PARALLEL, (id) => settle(ctx, retries, id));
    const last = ids.at(-1);
    if (ids.length < PAGE || last === undefined) return;
    after = last;
  }
}

async function settle(ctx: Context, retries: Retries, id: string): Promise<void> {
  try {
    await ctx.lanes.run(id, () => settleEarlier(ctx, id));
    retries.done(id);
  } catch (err) {
    retries.failed(id, null, err, ctx.clock.monotonicMs());
    ctx.logger.warn({ err, sandboxId: id }, "it is not settled yet what a sandbox has mounted");
  }
}
