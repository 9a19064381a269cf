import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { type Bus, connectBus } from "@banyan/bus";
import { contextBlob, ImageSpec, type ImageSpecInput, type LayerRef, layerBlob } from "@banyan/contracts";
import {
  BuildEngine,
  type BuildOrder,
  type BuildResult,
  defaultRecipe,
  LABEL_BUILDER,
  LayerCache,
  makeLayer,
  normalise,
  type ResolvedBase,
  readHostAccess,
  type Said,
  stackName,
  stepName,
} from "@banyan/image-builder";
import { newId, silentLogger, systemClock } from "@banyan/kernel";
import { LayerStore, openDocker } from "@banyan/runtime";
import { startNats, type TestNats } from "@banyan/testkit";
import type Docker from "dockerode";
import { type Header, pack } from "tar-stream";

export interface Built {
  result: BuildResult;
  said: Said[];
}

type Options = Partial<Pick<BuildOrder, "secrets" | "limits" | "signal">> & {
  base?: ResolvedBase;
  from?: ResolvedBase[];
  engine?: BuildEngine;
  onSaid?(said: Said): void;
};

/** A builder's engine on the real Docker Engine, with the default image as its base and a real blob store. */
export class BuildHarness {
  readonly orgId = newId("org");
  readonly docker: Docker;
  readonly #dockerHost: string;
  readonly engine: BuildEngine;
  readonly bus: Bus;
  readonly base: ResolvedBase;
  readonly directory: string;
  readonly #nats: TestNats;
  readonly #mounts: string[] = [];
  readonly #made = new Set<string>();

  private constructor(parts: { dockerHost: string; nats: TestNats; bus: Bus; base: ResolvedBase; directory: string }) {
    this.#dockerHost = parts.dockerHost;
    this.docker = openDocker(parts.dockerHost);
    this.#nats = parts.nats;
    this.bus = parts.bus;
    this.base = parts.base;
    this.directory = parts.directory;
    this.engine = this.openEngine("builder");
  }

  static async open(dockerHost = process.env.DOCKER_HOST ?? ""): Promise<BuildHarness> {
    const nats = await startNats();
    const bus = await connectBus({ servers: nats.url, name: "test", logger: silentLogger });
    const directory = mkdtempSync(join(tmpdir(), "banyan-build-"));
    const cache = new LayerCache(process.env.BANYAN_IMAGE_CACHE_DIR ?? join(directory, "cache"));
    const docker = openDocker(dockerHost);
    const signal = new AbortController().signal;
    const { path, ...layer } = await makeLayer(defaultRecipe, { cache, docker, registry: false, logger: silentLogger, signal });
    await bus.blobs.put(layerBlob(layer.digest), createReadStream(path));
    const layers = [{ digest: layer.digest, sizeBytes: layer.sizeBytes }];
    const base: ResolvedBase = {
      reference: "default",
      pinnedTo: "default",
      config: defaultRecipe.config,
      source: { kind: "layers", layers },
    };
    return new BuildHarness({ dockerHost, nats, bus, base, directory });
  }

  /** A builder of another name. */
  openEngine(name: string, dockerHost = this.#dockerHost): BuildEngine {
    return new BuildEngine({
      dockerHost,
      blobs: this.bus.blobs,
      directory: join(this.directory, name),
      access: readHostAccess({}),
      logger: silentLogger,
      clock: systemClock,
    });
  }

  async build(spec: ImageSpecInput, options: Options = {}): Promise<Built> {
    const said: Said[] = [];
    const plan = this.plan(spec, options);
    for (const key of [...plan.steps.map((step) => step.key), plan.dockerfile?.key ?? "", `${plan.dockerfile?.key} begun`])
      this.#made.add(stepName(key));
    const result = await (options.engine ?? this.engine).executeBuild({
      ...plan,
      orgId: this.orgId,
      secrets: {},
      registries: {},
      limits: { memoryMb: 1_024, cpu: 2, timeoutS: 120 },
      signal: new AbortController().signal,
      ...options,
      say: (each) => {
        said.push(each);
        options.onSaid?.(each);
      },
    });
    this.#made.add(stackName(result.layers));
    return { result, said };
  }

  plan(spec: ImageSpecInput, { base = this.base, from = [this.base] }: Options = {}) {
    const parsed = ImageSpec.parse(spec);
    return normalise({ orgId: this.orgId, spec: parsed, base: parsed.dockerfile === undefined ? base : null, from, architecture: "x64" });
  }

  /** Uploads a tar of these entries as the gateway would. */
  async upload(entries: [Partial<Header> & Pick<Header, "name">, string?][]): Promise<string> {
    const tar = pack();
    for (const [header, content] of entries) tar.entry(header, content ?? "");
    tar.finalize();
    return this.uploadBytes(tar);
  }

  async uploadBytes(content: AsyncIterable<unknown>): Promise<string> {
    const chunks: Buffer[] = [];
    for await (const chunk of content) chunks.push(chunk as Buffer);
    const bytes = Buffer.concat(chunks);
    const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
    await this.bus.blobs.put(contextBlob(this.orgId, digest), Readable.from([bytes]));
    return digest;
  }

  /** The files of a stack, as a node would have them. */
  async mount(layers: readonly LayerRef[]): Promise<string> {
    const store = new LayerStore(join(this.directory, "layers"), this.bus.blobs);
    await store.ensure(layers);
    const target = join(this.directory, `mount-${this.#mounts.length}`);
    mkdirSync(target);
    const lower = layers.map(({ digest }) => store.path(digest)).toReversed();
    const empty = join(this.directory, "empty");
    mkdirSync(empty, { recursive: true });
    execFileSync("mount", ["-t", "overlay", "overlay", "-o", `lowerdir=${[...lower, empty].join(":")}`, target]);
    this.#mounts.push(target);
    return target;
  }

  /** Removes what the engine keeps of builds, the base itself excepted. One by one: others build in this engine too. */
  async forgetImages(): Promise<void> {
    for (const name of this.#made)
      await this.docker
        .getImage(name)
        .remove()
        .catch(() => {});
    this.#made.clear();
  }

  /** The base's, once something was built on it. */
  async anyImage(): Promise<string> {
    if (this.base.source.kind !== "layers") throw new Error("the base is a stack of layers");
    const name = stackName(this.base.source.layers);
    await this.docker.getImage(name).inspect();
    return name;
  }

  /** Counts the containers that are made from now on. */
  async countContainers(): Promise<{ stop(): Promise<number> }> {
    const filters = { type: ["container"], event: ["create"], label: [`${LABEL_BUILDER}=${this.engine.name}`] };
    const since = (Date.now() / 1000).toFixed(9);
    return {
      stop: async () => {
        // Fractions of a second, which the engine takes as text and the types of its client do not know.
        const until = (Date.now() / 1000).toFixed(9);
        const events = await this.docker.getEvents({ since, until, filters } as unknown as Docker.GetEventsOptions);
        const chunks: Buffer[] = [];
        for await (const chunk of events as AsyncIterable<Uint8Array>) chunks.push(Buffer.from(chunk));
        return Buffer.concat(chunks)
          .toString()
          .split("\n")
          .filter((line) => line !== "").length;
      },
    };
  }

  async containers(): Promise<string[]> {
    const listed = await this.docker.listContainers({ all: true, filters: { label: [`${LABEL_BUILDER}=${this.engine.name}`] } });
    return listed.map(({ Id }) => Id);
  }

  async close(): Promise<void> {
    for (const target of this.#mounts) execFileSync("umount", [target]);
    await this.forgetImages();
    await this.engine.close();
    await this.bus.close();
    await this.#nats.stop();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

export const logOf = (said: readonly Said[]): string => said.flatMap((each) => (each.kind === "log" ? [each.text] : [])).join("\n");

/** The last state of each step, by title. */
export const statesOf = (said: readonly Said[]): Record<string, string> =>
  Object.fromEntries(said.flatMap((each) => (each.kind === "step" ? [[each.step.title, each.step.state]] : [])));
