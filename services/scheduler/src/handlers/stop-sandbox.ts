import { fault, type InputOf, StopSandbox } from "@banyan/contracts";
import { type Context, handle } from "../context.ts";
import { recordOf, type Sandbox } from "../domain/sandbox.ts";
import { nodeOf, stopOn } from "../node-calls.ts";

const DEADLINE_MARGIN_MS = 15_000;

export const stopSandbox = handle(StopSandbox, (ctx, input) =>
  ctx.lanes.run(input.id, async (signal) => {
    const found = await ctx.sandboxes.find(input);
    // A repeat goes on with a stop that its node did not answer to.
    const stopping = found.state === "stopping" ? found : await begin(ctx, found, input);
    await stopOn(ctx, { sandbox: stopping, graceMs: input.graceMs, idleSince: null, signal });
    const stopped = ctx.sandboxes.applyLater(stopping, { kind: "stopped", epoch: stopping.epoch });
    return { sandbox: recordOf(stopped) };
  }),
);

async function begin(ctx: Context, running: Sandbox, { graceMs }: InputOf<typeof StopSandbox>): Promise<Sandbox> {
  const stop = { kind: "stop", deadlineAt: ctx.clock.now() + graceMs + DEADLINE_MARGIN_MS, reason: null } as const;
  ctx.sandboxes.decide(running, stop);
  // Known to be away: nothing is begun that nobody can carry out.
  if (!ctx.nodes.isReachable(nodeOf(running))) throw fault("node.unreachable", { nodeId: running.nodeId });
  return ctx.sandboxes.apply(running, stop);
}
