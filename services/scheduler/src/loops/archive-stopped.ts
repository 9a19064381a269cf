import { isFault } from "@banyan/contracts";
import { forEachAtMost } from "@banyan/service";
import { archive } from "../archive.ts";
import type { Context } from "../context.ts";

const BATCH_MAX = 200;
const PARALLEL = 2;
/** Who stops and starts at once need not fetch its own files. */
const SETTLED_MS = 5_000;

/** Archives what is stopped, a page a turn, round and round. */
export class StoppedArchiver {
  readonly #ctx: Context;
  #after = "";

  constructor(ctx: Context) {
    this.#ctx = ctx;
  }

  async round(signal: AbortSignal): Promise<boolean> {
    const ctx = this.#ctx;
    const page = await ctx.store.listWithDisk(ctx.clock.now() - SETTLED_MS, this.#after, BATCH_MAX);
    this.#after = page.length === BATCH_MAX ? (page.at(-1)?.id ?? "") : "";
    const nowMs = ctx.clock.monotonicMs();
    const due = page.filter(({ id, nodeId }) => ctx.nodes.isListable(nodeId) && ctx.moves.isDue(id, nowMs) && !ctx.lanes.isBusy(id));
    await forEachAtMost(due, PARALLEL, async (one) => {
      if (signal.aborted) return;
      try {
        await archive(ctx, one, { signal });
        ctx.moves.done(one.id);
      } catch (error) {
        if (signal.aborted) return;
        if (isFault(error, "sandbox.version_conflict", "sandbox.illegal_transition", "sandbox.not_found")) return;
        ctx.logger.warn({ err: error, sandboxId: one.id, nodeId: one.nodeId }, "a stopped sandbox is not archived yet");
        ctx.moves.failed(one.id, one.nodeId, error, ctx.clock.monotonicMs());
      }
    });
    return this.#after !== "";
  }
}
