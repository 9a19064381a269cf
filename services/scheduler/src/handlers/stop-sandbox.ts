import { StopSandbox } from "@banyan/contracts";
import { handle } from "../context.ts";
import { recordOf } from "../domain/sandbox.ts";
import { stopOn } from "../node-calls.ts";

const DEADLINE_MARGIN_MS = 15_000;

export const stopSandbox = handle(StopSandbox, (ctx, input) =>
  ctx.lanes.run(input.id, async (signal) => {
    const running = await ctx.sandboxes.find(input);
    const deadlineAt = ctx.clock.now() + input.graceMs + DEADLINE_MARGIN_MS;
    const stopping = await ctx.sandboxes.apply(running, { kind: "stop", deadlineAt, reason: null });
    await stopOn(ctx, { sandbox: stopping, graceMs: input.graceMs, idleSince: null, signal });
    const stopped = ctx.sandboxes.applyLater(stopping, { kind: "stopped", epoch: stopping.epoch });
    return { sandbox: recordOf(stopped) };
  }),
);
