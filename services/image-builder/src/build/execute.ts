import { fault, type LayerRef, LIMITS } from "@banyan/contracts";
import { mergeConfig } from "../domain/normalise.ts";
import type { BuildOrder, BuildResult } from "../domain/plan.ts";
import { configOf, flattenImage } from "./base-image.ts";
import { buildDockerfile } from "./build-dockerfile.ts";
import { type BuiltSteps, buildSteps } from "./build-steps.ts";
import type { Engine } from "./engine.ts";
import { asking } from "./engine-fault.ts";
import { historyOfDockerfile, historyOfSteps } from "./history.ts";
import { keptKeys, nameImage, stepName } from "./kept-steps.ts";
import { stackName } from "./stack-image.ts";
import { takeApart } from "./take-apart.ts";

/** Carries out a build to its end: its layers are in the blob store when this resolves, and no container of it is left either way. */
export async function executeBuild(engine: Engine, order: BuildOrder): Promise<BuildResult> {
  const deadline = new AbortController();
  const timer = setTimeout(() => deadline.abort(fault("build.timeout")), order.limits.timeoutS * 1000);
  const signal = AbortSignal.any([order.signal, deadline.signal]);
  try {
    signal.throwIfAborted();
    for (const digest of contextsOf(order)) await engine.contextOf(order.orgId, digest);
    await rememberBases(engine, order);
    const built = await build(engine, order, signal);
    order.say({ kind: "exporting" });
    return await finish(engine, order, built, signal);
  } catch (error) {
    // Whatever else broke when it was stopped: that it was stopped is why.
    signal.throwIfAborted();
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

/** A stack was brought to the engine as it is, maybe long ago: there its layers go by their own digests. */
async function rememberBases(engine: Engine, { base, dockerfile }: BuildOrder): Promise<void> {
  const layers = [base, ...(dockerfile?.bases ?? [])].flatMap((each) => (each?.source.kind === "layers" ? each.source.layers : []));
  for (const layer of layers) {
    if ((await engine.layers.find(layer.digest)) === null) await engine.layers.remember(layer.digest, layer);
  }
}

const contextsOf = ({ steps, dockerfile }: BuildOrder): Set<string> =>
  new Set([...steps.flatMap(({ copy }) => copy?.context ?? []), ...(dockerfile?.context ? [dockerfile.context] : [])]);

async function build(engine: Engine, order: BuildOrder, signal: AbortSignal): Promise<BuiltSteps> {
  if (order.dockerfile !== null) {
    const { key } = order.dockerfile;
    const isKept = (await keptKeys(engine, [key])).has(key);
    const image = isKept ? stepName(key) : await buildDockerfile(engine, order, order.dockerfile, signal);
    const { Config } = await asking("look at an image", () => engine.docker.getImage(image).inspect());
    return { image, config: configOf(Config) };
  }
  if (order.base === null) throw fault("internal", {}, { message: "a build of steps needs a base" });
  return buildSteps(engine, order, order.base, signal);
}

async function finish(engine: Engine, order: BuildOrder, { image: built, config }: BuiltSteps, signal: AbortSignal): Promise<BuildResult> {
  let image = built;
  let layers = await takeApart(engine, image, signal);
  if (layers.length > LIMITS.layersPerImage) {
    image = await flattenImage(engine, image);
    layers = await takeApart(engine, image, signal);
  }
  const history = await (order.dockerfile === null ? historyOfSteps(engine, order, layers) : historyOfDockerfile(engine, built, layers));
  await remember(engine, image, built, layers);
  return { layers, history, config: mergeConfig(config, order.config) };
}

/** The result is the image of its own stack: what is built upon it need not be brought to the engine again. */
async function remember(engine: Engine, image: string, built: string, layers: readonly LayerRef[]): Promise<void> {
  await nameImage(engine, image, stackName(layers));
  await nameImage(engine, built, built);
}
