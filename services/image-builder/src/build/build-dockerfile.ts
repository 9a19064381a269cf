import { createHash } from "node:crypto";
import type { ImageConfig } from "@banyan/contracts";
import { pinReferences } from "../domain/dockerfile-references.ts";
import type { BuildOrder, PlannedDockerfile } from "../domain/plan.ts";
import { StepFailed } from "../domain/step-failed.ts";
import { type BaseImage, prepareBase } from "./base-image.ts";
import { BUILD_NETWORK, isNetworkGone } from "./build-network.ts";
import { problemOf } from "./dockerfile-check.ts";
import { DOCKERFILE_NAME, dockerfileContext } from "./dockerfile-context.ts";
import { DockerfileOutput } from "./dockerfile-output.ts";
import type { Engine } from "./engine.ts";
import { asking, engineFault, NO_SPACE, saidByEngine } from "./engine-fault.ts";
import { nameImage, stepName } from "./kept-steps.ts";
import { openContext } from "./place-files.ts";
import { EngineError, readProgress } from "./progress.ts";
import { STACK_REPOSITORY } from "./stack-image.ts";

const MIB = 1024 * 1024;
const CPU_PERIOD_US = 100_000;
/** What the author of the Dockerfile can put right, as the engine words it before it begins. */
const REFUSED =
  /dockerfile parse error|failed to parse|unknown instruction|no build stage|cannot be empty|file with no instructions|invalid reference/i;

/** Builds with the engine's own builder: of the two it has, the one that holds to limits of memory and cpu. Answers the name of the image. */
export async function buildDockerfile(
  engine: Engine,
  order: BuildOrder,
  dockerfile: PlannedDockerfile,
  signal: AbortSignal,
): Promise<string> {
  const problem = problemOf(dockerfile.text, { hasContext: dockerfile.context !== null });
  if (problem !== null) throw new StepFailed({ step: null, exitCode: null, oomKilled: false, lastLines: [problem] });
  const text = await pinnedText(engine, order, dockerfile, signal);
  if (dockerfile.network === "open") await engine.network.ensure();
  try {
    return await build(engine, order, dockerfile, text, signal);
  } catch (error) {
    // Another builder of this engine has ended and taken the network away: what is done already is in the engine's cache.
    if (!(error instanceof Error) || !isNetworkGone(error.cause)) throw error;
    await engine.network.remake();
    return build(engine, order, dockerfile, text, signal);
  }
}

async function build(engine: Engine, order: BuildOrder, dockerfile: PlannedDockerfile, text: string, signal: AbortSignal): Promise<string> {
  const context = dockerfile.context === null ? null : await openContext(engine, order.orgId, dockerfile.context);
  const output = new DockerfileOutput(order.say, () => engine.clock.monotonicMs());
  const name = stepName(dockerfile.key);
  try {
    const stream = await engine.docker.buildImage(dockerfileContext(text, context), optionsOf(engine, order, dockerfile, name, signal));
    await readProgress(stream, (line) => {
      output.take(line);
      // The builder says of each container when it runs.
      if (dockerfile.network === "open") engine.network.isolate();
    });
    output.end("done");
    return name;
  } catch (error) {
    const exitCode = error instanceof EngineError ? error.exitCode : null;
    output.end({ exitCode });
    if (output.image !== null) await keepBeginning(engine, output.image, dockerfile.key);
    signal.throwIfAborted();
    throw failureOf(error, exitCode, output);
  }
}

function optionsOf(engine: Engine, { limits }: BuildOrder, dockerfile: PlannedDockerfile, name: string, abortSignal: AbortSignal) {
  const memory = limits.memoryMb * MIB;
  const isOpen = dockerfile.network === "open";
  return {
    abortSignal,
    t: name,
    dockerfile: DOCKERFILE_NAME,
    buildargs: { ...(isOpen && engine.access.proxies), ...dockerfile.buildArgs },
    networkmode: isOpen ? BUILD_NETWORK : "none",
    memory,
    // As much as memory alone: no swap.
    memswap: memory,
    cpuperiod: CPU_PERIOD_US,
    cpuquota: Math.round(Math.min(limits.cpu, engine.cpus) * CPU_PERIOD_US),
    rm: true,
    forcerm: true,
    version: "1",
  } as const;
}

/** What it takes from outside, as it was pinned when it was resolved. */
async function pinnedText(engine: Engine, order: BuildOrder, dockerfile: PlannedDockerfile, signal: AbortSignal): Promise<string> {
  const onLine = (text: string) => order.say({ kind: "log", step: -1, stream: "stdout", text });
  const pins = new Map<string, string>();
  for (const base of dockerfile.bases) {
    const prepared = await prepareBase(engine, base, { orgId: order.orgId, registries: order.registries, signal, onLine });
    pins.set(base.reference, base.config === null ? prepared.image : await withConfig(engine, prepared));
  }
  return pinReferences(dockerfile.text, dockerfile.buildArgs, pins);
}

/** The config of an image of ours is ours to know: the engine is told, so that what is built upon it inherits it. */
async function withConfig(engine: Engine, { image, config }: BaseImage): Promise<string> {
  const text = dockerfileOf(image, config);
  const name = `${STACK_REPOSITORY}:config-${createHash("sha256").update(text).digest("hex").slice(0, 40)}`;
  await asking("give a base its config", async () => {
    const stream = await engine.docker.buildImage(dockerfileContext(text, null), { t: name, dockerfile: DOCKERFILE_NAME, version: "1" });
    await readProgress(stream);
  });
  return name;
}

function dockerfileOf(image: string, { env, workdir, user, entrypoint }: ImageConfig): string {
  const quoted = (text: string) => `"${text.replaceAll(/[\\"$]/g, "\\$&").replaceAll("\n", "\\\n")}"`;
  return [
    `FROM ${image}`,
    ...Object.entries(env).map(([name, value]) => `ENV ${name}=${quoted(value)}`),
    `WORKDIR ${workdir.replaceAll("$", "\\$")}`,
    `USER ${user}`,
    ...(entrypoint.length > 0 ? [`ENTRYPOINT ${JSON.stringify(entrypoint)}`] : []),
  ].join("\n");
}

/** So that the engine's own cache of it is kept for as long as a step's would be. */
async function keepBeginning(engine: Engine, image: string, key: string): Promise<void> {
  await nameImage(engine, image, stepName(`${key} begun`)).catch((err) =>
    engine.logger.warn({ image, err }, "the beginning of a failed build is not kept"),
  );
}

function failureOf(error: unknown, exitCode: number | null, output: DockerfileOutput): Error {
  const said = saidByEngine(error);
  const isOfTheAuthor = error instanceof EngineError || REFUSED.test(said);
  if (!isOfTheAuthor || (NO_SPACE.test(said) && exitCode === null)) return engineFault("build a Dockerfile", error);
  return new StepFailed(
    { step: output.step, exitCode, oomKilled: false, lastLines: [...output.lastLines, said].slice(-50) },
    { cause: error },
  );
}
