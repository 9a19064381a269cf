import { fault, type InputOf, type OutputOf, ReadBuildEvents } from "@banyan/contracts";
import { type Context, handle } from "../context.ts";
import { findBuild } from "../store/find-build.ts";
import { readEvents } from "../store/read-events.ts";

/** A build of another process rings no bell here. */
const LOOK_EVERY_MS = 500;

export const readBuildEvents = handle(ReadBuildEvents, async (ctx, input, { signal }) => {
  const endsAt = ctx.clock.monotonicMs() + input.waitMs;
  for (;;) {
    // Listened for before it is looked, so that nothing happens in between unheard.
    const bell = ctx.bell.listen(input.buildId);
    try {
      const read = await look(ctx, input);
      const leftMs = endsAt - ctx.clock.monotonicMs();
      if (read.events.length > 0 || read.ended || leftMs <= 0 || signal.aborted || ctx.stopping.aborted) return read;
      const waking = AbortSignal.any([bell.rung, signal, ctx.stopping]);
      await ctx.clock.sleep(Math.min(leftMs, LOOK_EVERY_MS), waking).catch(() => {});
    } finally {
      bell.end();
    }
  }
});

/** The row before the events: what it counts is written. */
async function look({ db }: Context, input: InputOf<typeof ReadBuildEvents>): Promise<OutputOf<typeof ReadBuildEvents>> {
  const { orgId, buildId, after, limit } = input;
  const build = await findBuild(db, orgId, buildId);
  if (build === null) throw fault("build.not_found", { build: buildId });
  const events = build.events > after ? await readEvents(db, buildId, after, limit) : [];
  const last = events.at(-1)?.seq ?? build.events;
  return { events, ended: build.endedAt !== null && last >= build.events };
}
