import type { ImageConfig } from "@banyan/contracts";
import type Docker from "dockerode";
import type { BuildOrder, PlannedStep, ResolvedBase } from "../domain/plan.ts";
import { StepFailed } from "../domain/step-failed.ts";
import { flattenImage, prepareBase } from "./base-image.ts";
import type { Engine } from "./engine.ts";
import { keepStep, keptKeys, stepName } from "./kept-steps.ts";
import { placeFiles } from "./place-files.ts";
import { runStep } from "./run-step.ts";
import { isDeep } from "./take-apart.ts";

export interface BuiltSteps {
  /** The engine's name of the result. */
  image: string;
  /** Of the base alone. */
  config: ImageConfig;
}

const MAKES_LAYER = ({ kind }: PlannedStep): boolean => kind !== "config";

/** Carries out the steps, from the last one on that the engine has kept from an earlier build. */
export async function buildSteps(engine: Engine, order: BuildOrder, base: ResolvedBase, signal: AbortSignal): Promise<BuiltSteps> {
  const kept = await keptKeys(
    engine,
    order.steps.filter(MAKES_LAYER).map(({ key }) => key),
  );
  const last = order.steps.findLastIndex((step) => MAKES_LAYER(step) && kept.has(step.key));
  const begin = order.steps[last];
  let image = begin === undefined ? null : stepName(begin.key);
  let config = base.config;
  if (image === null || config === null) {
    const onLine = (text: string) => order.say({ kind: "log", step: -1, stream: "stdout", text });
    const prepared = await prepareBase(engine, base, { orgId: order.orgId, registries: order.registries, signal, onLine });
    image ??= prepared.image;
    config = prepared.config;
  }
  for (const step of order.steps) {
    signal.throwIfAborted();
    if (step.index <= last) sayStep(order, step, "cached", { durationMs: 0, exitCode: null });
    else image = await carryOut(engine, order, step, { image, config, signal });
  }
  return { image, config };
}

interface Ground {
  image: string;
  config: ImageConfig;
  signal: AbortSignal;
}

/** Answers the image that has the step in it. */
async function carryOut(engine: Engine, order: BuildOrder, step: PlannedStep, ground: Ground): Promise<string> {
  const startedMs = engine.clock.monotonicMs();
  sayStep(order, step, "running", { durationMs: null, exitCode: null });
  try {
    const image = MAKES_LAYER(step) ? await makeLayer(engine, order, step, ground) : ground.image;
    sayStep(order, step, "done", { durationMs: engine.clock.monotonicMs() - startedMs, exitCode: step.kind === "run" ? 0 : null });
    return image;
  } catch (error) {
    const exitCode = error instanceof StepFailed ? error.exitCode : null;
    sayStep(order, step, "failed", { durationMs: engine.clock.monotonicMs() - startedMs, exitCode });
    throw error;
  }
}

async function makeLayer(engine: Engine, order: BuildOrder, step: PlannedStep, { image: below, config, signal }: Ground): Promise<string> {
  const image = (await isDeep(engine, below)) ? await flattenImage(engine, below) : below;
  const keep = (container: Docker.Container) => keepStep(container, step);
  if (step.kind !== "run") return placeFiles(engine, { orgId: order.orgId, step, image, signal }, keep);
  const run = {
    step,
    image,
    env: { ...config.env, ...step.env },
    workdir: step.workdir ?? config.workdir,
    secrets: Object.fromEntries(step.secretNames.map((name) => [name, order.secrets[name] ?? ""])),
    limits: order.limits,
    signal,
    onLine: (stream: "stdout" | "stderr", text: string) => order.say({ kind: "log", step: step.index, stream, text }),
  };
  return runStep(engine, run, keep);
}

type Outcome = { durationMs: number | null; exitCode: number | null };

function sayStep(
  order: BuildOrder,
  { index, title }: PlannedStep,
  state: "running" | "done" | "cached" | "failed",
  outcome: Outcome,
): void {
  order.say({ kind: "step", step: { index, title, state, ...outcome } });
}
