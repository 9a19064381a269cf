import { createHash } from "node:crypto";
import { pipeline } from "node:stream/promises";
import { createZstdDecompress } from "node:zlib";
import { fault, type LayerRef, layerBlob } from "@banyan/contracts";
import { type Pack, pack } from "tar-stream";
import type { Engine } from "./engine.ts";
import { asking, orNull } from "./engine-fault.ts";
import { readProgress } from "./progress.ts";
import { readableOf } from "./tar-streams.ts";

/** Engine images of stacks of ours, one a tag. */
export const STACK_REPOSITORY = "banyan/stack";
const TAG_LENGTH = 40;
const IMPORT_MS_MAX = 900_000;

/** The same stack is the same name, whoever made it. */
export function stackName(layers: readonly LayerRef[]): string {
  const digests = layers.map(({ digest }) => digest).join("\n");
  return `${STACK_REPOSITORY}:${createHash("sha256").update(digests).digest("hex").slice(0, TAG_LENGTH)}`;
}

/** The engine's image of a stack, made of the blobs where the engine has none. Once, however many ask at once. */
export function importStack(engine: Engine, layers: readonly LayerRef[], onImport: () => void): Promise<string> {
  const name = stackName(layers);
  return engine.once(name, () => asking("import a stack", () => importOnce(engine, layers, name, onImport)));
}

async function importOnce(engine: Engine, layers: readonly LayerRef[], name: string, onImport: () => void): Promise<string> {
  if ((await orNull(engine.docker.getImage(name).inspect())) !== null) return name;
  onImport();
  const present = await layersPresent(engine, layers);
  try {
    await load(engine, layers, name, present);
  } catch (error) {
    if (present === 0) throw error;
    // An engine whose store wants every layer in the archive gets every layer.
    await load(engine, layers, name, 0);
  }
  return name;
}

/** How many of the lowest layers the engine has already, as the image of a shorter stack. */
async function layersPresent(engine: Engine, layers: readonly LayerRef[]): Promise<number> {
  const images = await engine.docker.listImages({ filters: { reference: [STACK_REPOSITORY] } });
  const names = new Set(images.flatMap(({ RepoTags }) => RepoTags ?? []));
  return layers.findLastIndex((_, index) => names.has(stackName(layers.slice(0, index + 1)))) + 1;
}

async function load(engine: Engine, layers: readonly LayerRef[], name: string, present: number): Promise<void> {
  const archive = pack();
  const abortSignal = AbortSignal.timeout(IMPORT_MS_MAX);
  const writing = writeArchive(archive, engine, layers, name, present);
  // The request fails with the archive, and with the archive's reason.
  writing.catch((error) => archive.destroy(error));
  const loading = engine.docker
    .loadImage(readableOf(archive), { quiet: true, abortSignal })
    .then((progress: NodeJS.ReadableStream) => readProgress(progress));
  loading.catch((error) => archive.destroy(error));
  const [written, loaded] = await Promise.allSettled([writing, loading]);
  if (loaded.status === "rejected") throw written.status === "rejected" ? causeOf(written.reason, loaded.reason) : loaded.reason;
  if (written.status === "rejected") throw written.reason;
}

/** Whichever of the two ends broke first took the other with it: a fault of ours says more. */
function causeOf(written: unknown, loaded: unknown): unknown {
  return written instanceof Error && "kind" in written ? written : loaded;
}

/** The form of `docker save`: the engine takes layers as they are, so that its diff ids are our digests, and checks them. */
async function writeArchive(archive: Pack, engine: Engine, layers: readonly LayerRef[], name: string, present: number): Promise<void> {
  const config = {
    architecture: engine.architecture,
    os: "linux",
    config: {},
    rootfs: { type: "layers", diff_ids: layers.map(({ digest }) => digest) },
    history: layers.map(() => ({ created_by: "banyan" })),
  };
  const files = layers.map((_, index) => `${index}/layer.tar`);
  archive.entry({ name: "config.json" }, JSON.stringify(config));
  archive.entry({ name: "manifest.json" }, JSON.stringify([{ Config: "config.json", RepoTags: [name], Layers: files }]));
  for (const [index, { digest, sizeBytes }] of layers.entries()) {
    if (index < present) continue;
    const blob = await engine.blobs.get(layerBlob(digest));
    if (blob === null) throw fault("layer.unavailable", { digest }, { message: "a layer of the base is not in the blob store" });
    await pipeline(blob, createZstdDecompress(), archive.entry({ name: files[index] ?? "", size: sizeBytes }));
  }
  archive.finalize();
}
