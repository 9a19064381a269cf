import { type CreateSandbox, fault, type InputOf, type OutputOf } from "@banyan/contracts";
import type { Context } from "../context.ts";
import { started } from "./started.ts";

const LOOK_EVERY_MS = 100;
const ANSWER_MARGIN_MS = 500;
const NO_TIMING = { queueMs: 0, placeMs: 0, claimMs: 0, attachMs: 0, readyMs: 0, totalMs: 0 };

/** A repeated create of a sandbox that has a row: its answer is the first one's, waited for where that is still to come. */
export async function answerLikeFirst(
  ctx: Context,
  { orgId, id }: Pick<InputOf<typeof CreateSandbox>, "orgId" | "id">,
  waitMs: number,
): Promise<OutputOf<typeof CreateSandbox>> {
  const endsMs = ctx.clock.monotonicMs() + waitMs - ANSWER_MARGIN_MS;
  for (;;) {
    const sandbox = await ctx.sandboxes.peek(id);
    if (sandbox === null || sandbox.orgId !== orgId) throw fault("sandbox.start_failed", { reason: "id_taken" });
    if (sandbox.state === "deleting" || sandbox.state === "deleted") {
      throw fault("sandbox.start_failed", { reason: sandbox.stateReason ?? "deleted", state: sandbox.state });
    }
    if (sandbox.state !== "starting") {
      return started(ctx, sandbox, sandbox.launch ?? { path: "warm", timing: NO_TIMING });
    }
    // Nobody in this process works on it: the reconciliation will, at the row's deadline.
    if (ctx.clock.monotonicMs() >= endsMs)
      throw fault("sandbox.start_failed", { state: sandbox.state, retryAfterMs: ctx.config.startMarginMs });
    await ctx.clock.sleep(LOOK_EVERY_MS);
  }
}
