import { createHash } from "node:crypto";
import { mkdirSync, readdirSync } from "node:fs";
import { rm } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import type { BlobStore } from "@banyan/bus";
import { LIMITS } from "@banyan/contracts";
import type { Clock, Logger } from "@banyan/kernel";
import { openDocker } from "@banyan/runtime";
import { z } from "zod";
import type { BuildOrder, BuildResult, RegistryAuth } from "../domain/plan.ts";
import { BuildNetwork } from "./build-network.ts";
import { removeContainersLeft } from "./containers.ts";
import { type ContextEntryType, readContext } from "./context.ts";
import type { Engine } from "./engine.ts";
import { asking } from "./engine-fault.ts";
import { executeBuild } from "./execute.ts";
import type { HostAccess } from "./host-access.ts";
import { keptKeys, stepName } from "./kept-steps.ts";
import { KnownLayers } from "./known-layers.ts";
import { openContext } from "./place-files.ts";
import { type PruneOptions, pruneImages } from "./prune.ts";
import { resolveReference } from "./registry.ts";
import { stackName } from "./stack-image.ts";

/** A step may work in silence for as long as a build may last; who waits for it has a deadline of its own. */
const SILENCE_MS = (LIMITS.buildTimeoutSMax + 600) * 1000;
const CONTEXTS_REMEMBERED_MAX = 20;
const CONTEXT_ENTRIES_REMEMBERED_MAX = 10_000;
const KNOWN_ARCHITECTURES: Record<string, string> = { x86_64: "amd64", aarch64: "arm64" };

export interface BuildEngineOptions {
  dockerHost: string;
  blobs: BlobStore;
  /** Of this builder alone: drafts of layers, and what is known of the engine's. */
  directory: string;
  access: HostAccess;
  logger: Logger;
  clock: Clock;
}

const Info = z.object({
  ID: z.string(),
  DockerRootDir: z.string(),
  NCPU: z.int(),
  Architecture: z.string(),
  Driver: z.string(),
  DriverStatus: z.array(z.tuple([z.string(), z.string()])).nullable(),
});

/** All that the image-builder asks of a Docker Engine. Nothing is sent to it before the first call. */
export class BuildEngine {
  /** Its containers carry it as a label; the same after a restart. */
  readonly name: string;
  readonly #options: BuildEngineOptions;
  readonly #layers: KnownLayers;
  readonly #draftsDirectory: string;
  readonly #once = new Map<string, Promise<unknown>>();
  readonly #contexts = new Map<string, ReadonlyMap<string, ContextEntryType>>();
  /** How many builds under way stand on an image, by its name. */
  readonly #inUse = new Map<string, number>();
  #engine: Promise<Engine> | null = null;

  constructor(options: BuildEngineOptions) {
    this.#options = options;
    this.name = createHash("sha256").update(`${hostname()}:${options.directory}`).digest("hex").slice(0, 16);
    this.#draftsDirectory = join(options.directory, "drafts");
    this.#layers = new KnownLayers(join(options.directory, "engine-layers"));
    mkdirSync(this.#draftsDirectory, { recursive: true, mode: 0o700 });
  }

  async executeBuild(order: BuildOrder): Promise<BuildResult> {
    const engine = await this.facts();
    const names = namesOf(order);
    for (const name of names) this.#inUse.set(name, (this.#inUse.get(name) ?? 0) + 1);
    try {
      return await executeBuild(engine, order);
    } finally {
      for (const name of names) this.#release(name);
    }
  }

  /** `name@sha256:…` of what the registry has under this reference now. */
  async resolveRegistry(reference: string, auth: RegistryAuth | null): Promise<string> {
    return resolveReference(await this.facts(), reference, auth);
  }

  /** Which of these steps need not be carried out again. */
  async cachedKeys(keys: readonly string[]): Promise<Set<string>> {
    return keptKeys(await this.facts(), keys);
  }

  /** Looks through an uploaded context or refuses it; a build does so itself, before its first step. */
  async checkContext(orgId: string, digest: string): Promise<void> {
    await this.#contextOf(orgId, digest);
  }

  async pruneImages(options: PruneOptions): Promise<number> {
    return pruneImages(await this.facts(), options);
  }

  /** What a builder that was killed has left: containers, and layers half written. For the start, before the first build. */
  async removeLeftovers(): Promise<number> {
    for (const draft of readdirSync(this.#draftsDirectory)) await rm(join(this.#draftsDirectory, draft), { recursive: true, force: true });
    return removeContainersLeft(await this.facts());
  }

  /** Leaves nothing of its own on the host. An engine that is away has been left by everything already. */
  async close(): Promise<void> {
    if (this.#engine === null) return;
    const { network, logger } = await this.#engine;
    await network.close().catch((err) => logger.warn({ err }, "the network of builds stays"));
  }

  /** What the engine says of itself, asked once it answers, with all that the parts of a build share. */
  facts(): Promise<Engine> {
    this.#engine ??= this.#connect().catch((error) => {
      this.#engine = null;
      throw error;
    });
    return this.#engine;
  }

  async #connect(): Promise<Engine> {
    const { dockerHost, blobs, access, logger, clock } = this.#options;
    const docker = openDocker(dockerHost, SILENCE_MS);
    const info = Info.parse(await asking("say what it is", () => docker.info()));
    return {
      docker,
      network: new BuildNetwork({ docker, engine: `${info.ID} ${info.DockerRootDir}`, clock, logger }),
      blobs,
      access,
      logger,
      clock,
      layers: this.#layers,
      draftsDirectory: this.#draftsDirectory,
      name: this.name,
      cpus: info.NCPU,
      architecture: KNOWN_ARCHITECTURES[info.Architecture] ?? info.Architecture,
      // Otherwise directories refer to one another by attributes, and do not say by themselves what they hold.
      readsOverlay:
        info.Driver === "overlay2" && (info.DriverStatus ?? []).some(([key, value]) => key === "Native Overlay Diff" && value === "true"),
      once: (what, operation) => this.#doOnce(what, operation),
      contextOf: (orgId, digest) => this.#contextOf(orgId, digest),
      isInUse: (image) => this.#inUse.has(image),
    };
  }

  #doOnce<T>(what: string, operation: () => Promise<T>): Promise<T> {
    const known = this.#once.get(what) as Promise<T> | undefined;
    if (known !== undefined) return known;
    const doing = operation().finally(() => this.#once.delete(what));
    this.#once.set(what, doing);
    return doing;
  }

  /** A context is what its digest says: one that was found good stays good. */
  async #contextOf(orgId: string, digest: string): Promise<ReadonlyMap<string, ContextEntryType>> {
    const key = `${orgId}/${digest}`;
    const known = this.#contexts.get(key);
    if (known !== undefined) return known;
    const found = await readContext(await openContext(this.#options, orgId, digest));
    if (found.size > CONTEXT_ENTRIES_REMEMBERED_MAX) return found;
    this.#contexts.set(key, found);
    const [oldest] = this.#contexts.keys();
    if (this.#contexts.size > CONTEXTS_REMEMBERED_MAX && oldest !== undefined) this.#contexts.delete(oldest);
    return found;
  }

  #release(name: string): void {
    const count = (this.#inUse.get(name) ?? 1) - 1;
    if (count === 0) this.#inUse.delete(name);
    else this.#inUse.set(name, count);
  }
}

/** Every image of ours that a build may stand on at some time. */
function namesOf({ base, steps, dockerfile }: BuildOrder): string[] {
  const stacks = [base, ...(dockerfile?.bases ?? [])].flatMap((each) =>
    each?.source.kind === "layers" ? [stackName(each.source.layers)] : [],
  );
  const keys = [...steps.map(({ key }) => key), ...(dockerfile === null ? [] : [dockerfile.key])];
  return [...new Set([...stacks, ...keys.map(stepName)])];
}
