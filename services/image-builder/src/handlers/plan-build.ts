import { PlanBuild } from "@banyan/contracts";
import { handle } from "../context.ts";
import { estimateMs, sortOf } from "../domain/estimate.ts";
import { assertContexts, planSpec } from "../plan-spec.ts";
import { findImageByKey } from "../store/find-image.ts";
import { readStepTimes } from "../store/read-step-times.ts";

export const planBuild = handle(PlanBuild, async (ctx, { orgId, spec }) => {
  const { plan, pinned } = await planSpec(ctx, orgId, spec);
  const ground = pinned.base ?? pinned.from[0] ?? null;
  const base = ground && { reference: ground.reference, pinnedTo: ground.pinnedTo };
  const image = await findImageByKey(ctx.db, orgId, plan.key);
  const steps = plan.dockerfile === null ? plan.steps : [{ index: 0, key: plan.dockerfile.key, title: "Dockerfile", kind: "run" as const }];
  const common = { key: plan.key, imageId: image?.id ?? null, base, warnings: plan.warnings };
  if (image?.state === "ready")
    return { ...common, cached: true, steps: steps.map(({ index, title }) => ({ index, title, cached: true })), estimatedMs: 0 };
  await assertContexts(ctx, orgId, plan);
  const kept = await ctx.engine.cachedKeys(steps.map(({ key }) => key));
  // A step is only worth something where all before it are kept too, which its key says already.
  const lastKept = steps.findLastIndex(({ key }) => kept.has(key));
  const isCached = (step: { index: number; kind: string }): boolean => step.index <= lastKept || step.kind === "config";
  const todo = steps.filter((step) => !isCached(step));
  const times = await readStepTimes(
    ctx.db,
    todo.map(({ key }) => key),
  );
  return {
    ...common,
    cached: false,
    steps: steps.map((step) => ({ index: step.index, title: step.title, cached: isCached(step) })),
    estimatedMs: estimateMs(
      todo.map(({ key, title }) => ({ key, sort: sortOf(title) })),
      times,
    ),
  };
});
