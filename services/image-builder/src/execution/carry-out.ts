import { fault, type LayerRef, layerBlob } from "@banyan/contracts";
import { unseal } from "@banyan/kernel";
import { forEachAtMost } from "@banyan/service";
import { z } from "zod";
import { registryOf } from "../build/registry.ts";
import type { Context } from "../context.ts";
import { sortOf } from "../domain/estimate.ts";
import { failureOf } from "../domain/failure.ts";
import { maskOf } from "../domain/mask.ts";
import type { Plan } from "../domain/normalise.ts";
import type { BuildOrder, BuildResult } from "../domain/plan.ts";
import { secretsContext } from "../domain/seal-context.ts";
import { planPinned } from "../plan-spec.ts";
import { finishBuild } from "../store/finish-build.ts";
import { noteLayers } from "../store/note-layers.ts";
import { recordStepTimes } from "../store/record-step-times.ts";
import { requeueBuild } from "../store/requeue-build.ts";
import type { BuildRow } from "../store/schema.ts";
import { outcomeOf } from "./ending.ts";
import { Lease, Superseded } from "./lease.ts";
import { Recorder } from "./recorder.ts";

const LOOKUPS_AT_ONCE = 8;

/** Carries out a build that was claimed, to its end. Throws where it came to none and waits again. */
export async function carryOut(ctx: Context, build: BuildRow): Promise<void> {
  const startedAt = ctx.clock.monotonicMs();
  const secrets = openSecrets(ctx, build);
  if (secrets === null) return endUnopened(ctx, build);
  const mask = maskOf(secrets);
  const plan = planPinned(build.orgId, build.spec, build.base ?? { base: null, from: [] });
  const recorder = new Recorder({ ...ctx, build, mask, onWritten: () => ctx.bell.ring(build.id) });
  const lease = new Lease(ctx, build);
  try {
    const order = await orderOf(ctx, build, { plan, secrets, signal: lease.signal, say: (said) => recorder.say(said) });
    const result = await ctx.engine.executeBuild(order);
    await assertStored(ctx, result.layers);
    await recorder.end();
    await finishBuild(ctx.db, build, { kind: "finish", result: masked(result, mask) }, { now: ctx.clock.now(), steps: recorder.steps });
    await noteTimes(ctx, plan, recorder);
    ctx.logger.info(
      { build: build.id, image: build.imageId, layers: result.layers.length, ms: Math.round(ctx.clock.monotonicMs() - startedAt) },
      "a build is done",
    );
  } catch (error) {
    await endBroken(ctx, build, { error, recorder, plan, mask });
  } finally {
    lease.end();
    await recorder.end();
    ctx.bell.ring(build.id);
  }
}

/** Its steps would run without what they need. */
async function endUnopened({ db, clock, logger, bell }: Context, build: BuildRow): Promise<void> {
  logger.error({ build: build.id }, "the secrets of a build were sealed with another key than this builder's");
  const failure = failureOf("internal", { message: "The secrets of this build can no longer be opened: request it again." });
  await finishBuild(db, build, { kind: "fail", failure }, { now: clock.now() });
  bell.ring(build.id);
}

interface Ordering extends Pick<BuildOrder, "secrets" | "signal" | "say"> {
  plan: Plan;
}

async function orderOf(ctx: Context, build: BuildRow, { plan, ...rest }: Ordering): Promise<BuildOrder> {
  const { base, steps, dockerfile, config } = plan;
  const registries: BuildOrder["registries"] = {};
  for (const { source } of [...(base === null ? [] : [base]), ...(dockerfile?.bases ?? [])]) {
    if (source.kind !== "registry") continue;
    const auth = await ctx.bases.authFor(build.orgId, source.reference);
    if (auth !== null) registries[registryOf(source.reference)] = auth;
  }
  const { memoryMb, cpu } = ctx.config;
  const timeoutS = Math.max(1, Math.ceil((build.deadlineAt.getTime() - ctx.clock.now()) / 1000));
  return { orgId: build.orgId, base, steps, dockerfile, config, registries, limits: { memoryMb, cpu, timeoutS }, ...rest };
}

/** Null: they were sealed with another key. */
function openSecrets({ secretKey }: Context, { id, secretsSealed }: BuildRow): Record<string, string> | null {
  if (secretsSealed === null) return {};
  const opened = unseal(secretsSealed, secretKey, secretsContext(id));
  return opened === null ? null : z.record(z.string(), z.string()).parse(JSON.parse(opened));
}

/** Titles come from the spec, which may hold what is a secret elsewhere. */
const masked = (result: BuildResult, mask: (text: string) => string): BuildResult => ({
  ...result,
  history: result.history.map((entry) => ({ ...entry, title: mask(entry.title) })),
});

/** Noted before it is looked whether they are there: what was swept away in between is missed now, and made again. */
async function assertStored({ bus, db, clock }: Context, layers: readonly LayerRef[]): Promise<void> {
  await noteLayers(db.orm, layers, new Date(clock.now()));
  await forEachAtMost(layers, LOOKUPS_AT_ONCE, async ({ digest }) => {
    if (!(await bus.blobs.has(layerBlob(digest)))) throw fault("layer.unavailable", { digest });
  });
}

/** A Dockerfile counts as one step: its own steps have no keys of ours. */
async function noteTimes({ db, clock }: Context, { steps, dockerfile }: Plan, recorder: Recorder): Promise<void> {
  const measuredAt = new Date(clock.now());
  const done = recorder.steps.filter(({ state }) => state === "done");
  if (dockerfile !== null) {
    const durationMs = done.reduce((sum, step) => sum + (step.durationMs ?? 0), 0);
    return recordStepTimes(db, [{ key: dockerfile.key, sort: "Dockerfile", durationMs, measuredAt }]);
  }
  const keys = new Map(steps.filter(({ kind }) => kind !== "config").map(({ index, key }) => [index, key]));
  const times = done.flatMap(({ index, title, durationMs }) => {
    const key = keys.get(index);
    return key === undefined || durationMs === null ? [] : [{ key, sort: sortOf(title), durationMs, measuredAt }];
  });
  await recordStepTimes(db, times);
}

interface BrokenExecution {
  error: unknown;
  recorder: Recorder;
  plan: Plan;
  mask(text: string): string;
}

async function endBroken(ctx: Context, build: BuildRow, { error, recorder, plan, mask }: BrokenExecution): Promise<void> {
  const { db, clock, logger, stopping } = ctx;
  if (error instanceof Superseded) return;
  if (stopping.aborted) {
    await recorder.end();
    await requeueBuild(db, build, clock.now());
    throw error;
  }
  const networkOf = (step: number | null) => plan.steps.find(({ index }) => index === step)?.network ?? build.spec.network;
  const outcome = outcomeOf({ error, attempts: build.attempts, tail: recorder.tail, networkOf });
  recorder.failRunning();
  await recorder.end();
  logger[outcome.kind === "fail" && outcome.failure.code === "internal" ? "error" : "info"](
    { build: build.id, outcome: outcome.kind, err: error },
    "a build came to no image",
  );
  if (outcome.kind === "again") {
    await requeueBuild(db, build, clock.now());
    throw error;
  }
  const ending =
    outcome.kind === "cancel" ? outcome : { ...outcome, failure: { ...outcome.failure, lastLines: outcome.failure.lastLines.map(mask) } };
  await finishBuild(db, build, ending, { now: clock.now(), steps: recorder.steps });
}
