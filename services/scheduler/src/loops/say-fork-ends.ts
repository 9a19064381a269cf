import { ForkEnded } from "@banyan/contracts";
import type { Context } from "../context.ts";

const BATCH_MAX = 100;

/** At least once, for whoever published a fork and waits for its end; the stream drops what it has already. */
export async function sayForkEnds(ctx: Context): Promise<boolean> {
  const ended = await ctx.store.listUnsaidEnds(BATCH_MAX);
  await Promise.all(
    ended.map(({ id, orgId, state, stateReason: reason, counts, winner, endedAt }) =>
      ctx.bus.emit(ForkEnded, id, { forkId: id, orgId, state, reason, counts, winner, at: endedAt ?? 0 }, { dedupeId: `${id}.ended` }),
    ),
  );
  await ctx.store.markEndSaid(ended.map(({ id }) => id));
  return ended.length === BATCH_MAX;
}
