import type { Context } from "../context.ts";

const BATCH_MAX = 2_000;

/** What has been active since it was last written. Losing it on the way down costs nothing: the node knows, and is asked before an idle stop. */
export class Activity {
  readonly #unwritten = new Set<string>();

  note(ctx: Context, sandboxId: string, at: number): void {
    if (ctx.ledger.touch(sandboxId, at)) this.#unwritten.add(sandboxId);
  }

  async write(ctx: Context): Promise<boolean> {
    const ids = [...this.#unwritten].slice(0, BATCH_MAX);
    const batch = ids.flatMap((id) => {
      const at = ctx.ledger.get(id)?.lastActiveAt;
      return at === undefined ? [] : [{ id, at }];
    });
    await ctx.store.recordActivity(batch);
    for (const id of ids) this.#unwritten.delete(id);
    return ids.length === BATCH_MAX;
  }
}
