import { SandboxChanged } from "@banyan/contracts";
import type { Context } from "../context.ts";

const BATCH_MAX = 200;

/** Outbox to stream: at least once, in order for each sandbox; the stream drops what it has already. */
export async function sayChanges(ctx: Context): Promise<boolean> {
  const said = await ctx.store.readOutbox(BATCH_MAX);
  await Promise.all(
    said.map(({ sandboxId, version, event }) => ctx.bus.emit(SandboxChanged, sandboxId, event, { dedupeId: `${sandboxId}.${version}` })),
  );
  await ctx.store.removeSaid(said.map(({ seq }) => seq));
  return said.length === BATCH_MAX;
}
