import { type ForkEvent, ReadForkEvents } from "@banyan/contracts";
import { handle } from "../context.ts";
import { hasEnded } from "../domain/fork.ts";
import { findFork } from "./get-fork.ts";

/** Of the answer: a message has a bound of its own. */
const PAGE_BYTES_MAX = 512 * 1024;
/** Of the caller's time, for the last look. */
const MARGIN_MS = 2_000;

export const readForkEvents = handle(ReadForkEvents, async (ctx, input, request) => {
  const { forkId, after, limit, waitMs } = input;
  const endsMs = ctx.clock.monotonicMs() + Math.min(waitMs, request.deadlineMs - MARGIN_MS);
  for (;;) {
    const leftMs = endsMs - ctx.clock.monotonicMs();
    const watch = ctx.forks.watch(forkId, Math.max(0, leftMs), request.signal);
    try {
      // The fork before its events: when it has ended, all of them are there.
      const fork = await findFork(ctx, input);
      const events = withinBytes(await ctx.store.readForkEvents(forkId, after, limit));
      const ended = hasEnded(fork.state) && (events.at(-1)?.seq ?? after) >= fork.eventSeq;
      if (events.length > 0 || ended || leftMs <= 0 || request.signal.aborted) return { events, ended };
      await watch.changed;
    } finally {
      watch.end();
    }
  }
});

function withinBytes(events: readonly ForkEvent[]): ForkEvent[] {
  let bytes = 0;
  const end = events.findIndex((event, at) => {
    bytes += Buffer.byteLength(JSON.stringify(event));
    return at > 0 && bytes > PAGE_BYTES_MAX;
  });
  return events.slice(0, end === -1 ? events.length : end);
}
