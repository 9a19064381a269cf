import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { contextBlob, fault, type ImageConfig } from "@banyan/contracts";
import type Docker from "dockerode";
import { extract, pack } from "tar-stream";
import { EMPTY_CONFIG } from "../domain/empty-config.ts";
import type { BuildOrder, ResolvedBase } from "../domain/plan.ts";
import { withContainer } from "./containers.ts";
import type { Engine } from "./engine.ts";
import { asking, orNull } from "./engine-fault.ts";
import { readProgress } from "./progress.ts";
import { pullPinned, registryOf } from "./registry.ts";
import { inflate } from "./sent-tar.ts";
import { importStack, STACK_REPOSITORY } from "./stack-image.ts";
import { readableOf } from "./tar-streams.ts";

export interface BaseImage {
  /** The engine's name of it. */
  image: string;
  config: ImageConfig;
}

type Wishes = Pick<BuildOrder, "orgId" | "registries"> & { signal: AbortSignal; onLine(text: string): void };

/** The engine's image of a base, made or pulled where the engine has none. */
export async function prepareBase(engine: Engine, base: ResolvedBase, wishes: Wishes): Promise<BaseImage> {
  const image = await imageOf(engine, base, wishes);
  wishes.signal.throwIfAborted();
  if (base.config !== null) return { image, config: base.config };
  const { Config } = await asking("look at the base", () => engine.docker.getImage(image).inspect());
  return { image, config: configOf(Config) };
}

async function imageOf(engine: Engine, { source, reference }: ResolvedBase, wishes: Wishes): Promise<string> {
  const { orgId, registries, signal, onLine } = wishes;
  if (source.kind === "layers") return importStack(engine, source.layers, () => onLine(`bringing ${reference} to the builder`));
  if (source.kind === "registry")
    return pullPinned(engine, source.reference, registries[registryOf(source.reference)] ?? null, { signal, onLine });
  return importRootfs(engine, orgId, source.digest);
}

/** An image's own configuration, as far as it means something here. */
export function configOf(
  config: Pick<Docker.ImageInspectInfo["Config"], "Env" | "WorkingDir" | "User" | "Entrypoint" | "Cmd">,
): ImageConfig {
  const listed = (value: string | string[] | null | undefined): string[] => (value === null || value === undefined ? [] : [value].flat());
  const env = Object.fromEntries(listed(config.Env).map((entry) => entry.split(/=(.*)/s).slice(0, 2)));
  return {
    ...EMPTY_CONFIG,
    env: { ...EMPTY_CONFIG.env, ...env },
    workdir: config.WorkingDir || EMPTY_CONFIG.workdir,
    user: config.User || EMPTY_CONFIG.user,
    entrypoint: [...listed(config.Entrypoint), ...listed(config.Cmd)],
  };
}

/** An uploaded root filesystem. The engine names it by its content, so that the same one is imported once. */
async function importRootfs(engine: Engine, orgId: string, digest: string): Promise<string> {
  const tag = `rootfs-${digest.slice("sha256:".length, "sha256:".length + 40)}`;
  const name = `${STACK_REPOSITORY}:${tag}`;
  return engine.once(name, () =>
    asking("import a root filesystem", async () => {
      if ((await orNull(engine.docker.getImage(name).inspect())) !== null) return name;
      const sent = await engine.blobs.get(contextBlob(orgId, digest));
      if (sent === null) throw fault("context.not_found", { digest });
      await importTar(engine, withoutDevices(sent), tag);
      return name;
    }),
  );
}

/** A root filesystem may bring links wherever they lead: they are looked up inside. Devices and pipes it is given by the sandbox. */
function withoutDevices(sent: Readable): Readable {
  const entries = extract();
  const kept = pack();
  const flowing = pipeline(inflate(sent), entries);
  const sorting = (async () => {
    for await (const entry of entries) {
      if (["file", "contiguous-file", "directory", "symlink", "link"].includes(entry.header.type ?? ""))
        await pipeline(entry, kept.entry(entry.header));
      else entry.resume();
    }
    await flowing;
    kept.finalize();
  })();
  flowing.catch(() => {});
  sorting.catch((error) => kept.destroy(error));
  return readableOf(kept);
}

const flatTag = (image: string): string => `flat-${image.replaceAll(/[^A-Za-z0-9]/g, "-").slice(-100)}`;

/** More layers than the engine can stack become one. */
export function flattenImage(engine: Engine, image: string): Promise<string> {
  const tag = flatTag(image);
  const options = { Image: image, Entrypoint: [], Cmd: ["/"], HostConfig: { NetworkMode: "none" } };
  return withContainer(engine, options, (container) =>
    asking("flatten an image", async () => {
      await importTar(engine, (await container.export()) as Readable, tag);
      return `${STACK_REPOSITORY}:${tag}`;
    }),
  );
}

async function importTar(engine: Engine, tar: Readable, tag: string): Promise<void> {
  const progress = await engine.docker.importImage(tar, { repo: STACK_REPOSITORY, tag });
  await readProgress(progress);
}
