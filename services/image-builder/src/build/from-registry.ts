import { Readable } from "node:stream";
import { fault, type LayerRef } from "@banyan/contracts";
import { type Logger, messageOf } from "@banyan/kernel";
import type Docker from "dockerode";
import { dpkgOptions, finishScript, type Recipe } from "../domain/recipe.ts";
import { writeLayer } from "./layer-file.ts";

/** A registry that has said nothing by then counts as unreachable. */
const REGISTRY_ANSWER_MS = 8_000;
const PULL_MS_MAX = 300_000;
const INSTALL_MS_MAX = 600_000;
const SAID_BYTES_MAX = 2_000;
const CONTAINER_LABEL = "banyan.image-builder";

/** The base from a registry, the packages installed in a container, the whole exported as one layer. */
export async function buildFromRegistry(
  docker: Docker,
  recipe: Recipe,
  path: string,
  options: { logger: Logger; signal: AbortSignal },
): Promise<LayerRef> {
  await pull(docker, recipe.reference, options.signal);
  options.logger.info({ image: recipe.name, reference: recipe.reference }, "image: installing packages in a container");
  const container = await docker.createContainer({
    Image: recipe.reference,
    Entrypoint: ["/bin/sh", "-ec"],
    Cmd: [installScript(recipe)],
    User: "0",
    Env: ["DEBIAN_FRONTEND=noninteractive"],
    // With a terminal its log is text; without, it is framed by stream.
    Tty: true,
    Labels: { [CONTAINER_LABEL]: recipe.name },
    HostConfig: { NetworkMode: "host", AutoRemove: false },
  });
  const removeOnAbort = () => void container.remove({ force: true }).catch(() => {});
  options.signal.addEventListener("abort", removeOnAbort, { once: true });
  try {
    await container.start();
    const ended: { StatusCode: number } = await container.wait({ abortSignal: AbortSignal.timeout(INSTALL_MS_MAX) });
    if (ended.StatusCode !== 0)
      throw fault("image.build_failed", { step: "packages", exitCode: ended.StatusCode, output: await lastWords(container) });
    return await writeLayer(Readable.from(await container.export()), path);
  } finally {
    options.signal.removeEventListener("abort", removeOnAbort);
    await container.remove({ force: true });
  }
}

/** What a builder that was killed has left. */
export async function removeLeftovers(docker: Docker): Promise<void> {
  const left = await docker.listContainers({ all: true, filters: { label: [CONTAINER_LABEL] } });
  for (const { Id } of left) await docker.getContainer(Id).remove({ force: true });
}

/** An image that is there already is not asked for again. */
async function pull(docker: Docker, reference: string, signal: AbortSignal): Promise<void> {
  const present = await docker
    .getImage(reference)
    .inspect()
    .then(() => true)
    .catch((error: { statusCode?: number }) => {
      if (error.statusCode === 404) return false;
      throw error;
    });
  if (present) return;
  const silence = new AbortController();
  const timer = setTimeout(() => silence.abort(new Error(`the registry said nothing for ${REGISTRY_ANSWER_MS} ms`)), REGISTRY_ANSWER_MS);
  const abortSignal = AbortSignal.any([signal, silence.signal, AbortSignal.timeout(PULL_MS_MAX)]);
  try {
    const stream = await docker.pull(reference, { abortSignal });
    await new Promise<void>((resolve, reject) => {
      docker.modem.followProgress(
        stream,
        (error) => (error ? reject(error) : resolve()),
        () => clearTimeout(timer),
      );
      abortSignal.addEventListener("abort", () => reject(abortSignal.reason), { once: true });
    });
  } catch (cause) {
    throw fault(
      "image.build_failed",
      { step: "pull", reference },
      { cause, message: `${reference} cannot be pulled: ${messageOf(cause)}` },
    );
  } finally {
    clearTimeout(timer);
  }
}

function installScript(recipe: Recipe): string {
  return [
    ...dpkgOptions(recipe).map((option) => `echo '${option}' >> /etc/dpkg/dpkg.cfg.d/banyan`),
    "apt-get update",
    `apt-get install -y --no-install-recommends -o Acquire::Retries=3 ${recipe.packages.join(" ")}`,
    finishScript(recipe),
  ].join("\n");
}

async function lastWords(container: Docker.Container): Promise<string> {
  const logs = await container.logs({ stdout: true, stderr: true, tail: 20 });
  return logs.toString("utf8").slice(-SAID_BYTES_MAX);
}
