import type { ImageSpecInput } from "@banyan/contracts";
import type { PackedContext } from "./context.ts";

export type ImageSpec = ImageSpecInput;
type Step = NonNullable<ImageSpecInput["steps"]>[number];
export type ReadyCheck = ({ command: string } | { port: number } | { file: string }) & { timeoutMs?: number };

export interface RunOptions {
  /** Secrets of the build that the command sees, as variables and as files in /run/secrets. */
  secrets?: readonly string[];
  network?: "open" | "closed";
  timeoutS?: number;
}

export interface FileOptions {
  /** Octal, as `0755`. */
  mode?: string;
  owner?: string;
}

export interface CopyOptions {
  owner?: string;
  /** As in a `.dockerignore`, which is heeded too. */
  ignore?: readonly string[];
}

export interface DockerfileOptions {
  /** A directory here, of which the Dockerfile may COPY. */
  context?: string;
  ignore?: readonly string[];
  buildArgs?: Record<string, string>;
}

/** Files here: what they are called there is known when they are packed. */
interface LocalFiles {
  path: string;
  ignore: readonly string[];
}
type AnyStep = Step | { local: LocalFiles; to: string; owner?: string };

interface Stated {
  spec: Omit<ImageSpecInput, "steps">;
  steps: readonly AnyStep[];
  context: LocalFiles | null;
}

/**
 * An environment, stated step by step: `Image.base("default").apt("jq").run("make")`. Every call answers a new one, and the old one stays as it
 * was. `toSpec()` is the JSON that the API takes.
 */
export class Image {
  readonly #stated: Stated;

  private constructor(stated: Stated) {
    this.#stated = stated;
  }

  /** `default`, the name or id of an image or snapshot, a registry's reference, or the digest of an uploaded root filesystem. */
  static base(base: string | { rootfs: string } = "default"): Image {
    return new Image({ spec: { base }, steps: [], context: null });
  }

  /** What is built by the Docker Engine; it has no further steps. */
  static dockerfile(text: string, { context, ignore = [], buildArgs }: DockerfileOptions = {}): Image {
    const spec = { dockerfile: text, ...(buildArgs && { build_args: buildArgs }) };
    return new Image({ spec, steps: [], context: context === undefined ? null : { path: context, ignore } });
  }

  /** Of the API's own JSON, to go on from. */
  static of({ steps = [], ...spec }: ImageSpec): Image {
    return new Image({ spec, steps, context: null });
  }

  apt(...packages: string[]): Image {
    return this.#step({ apt: packages });
  }

  pip(...packages: string[]): Image {
    return this.#step({ pip: packages });
  }

  /** Installed globally. */
  npm(...packages: string[]): Image {
    return this.#step({ npm: packages });
  }

  /** A shell command; the build fails where it does. */
  run(command: string, { secrets, network, timeoutS }: RunOptions = {}): Image {
    return this.#step({
      run: command,
      ...(secrets && { secrets: [...secrets] }),
      ...(network && { network }),
      ...(timeoutS !== undefined && { timeout_s: timeoutS }),
    });
  }

  file(path: string, content: string | Uint8Array, { mode, owner }: FileOptions = {}): Image {
    const bytes = typeof content === "string" ? { content } : { content_base64: Buffer.from(content).toString("base64") };
    return this.#step({ file: { path, ...bytes, ...(mode !== undefined && { mode }), ...(owner !== undefined && { owner }) } });
  }

  /** A file or directory here becomes one there. It is uploaded when the image is built, and only where it is not there yet. */
  copy(from: string, to: string, { owner, ignore = [] }: CopyOptions = {}): Image {
    return this.#step({ local: { path: from, ignore }, to, ...(owner !== undefined && { owner }) });
  }

  env(env: Record<string, string>): Image {
    return this.#step({ env });
  }

  workdir(path: string): Image {
    return this.#step({ workdir: path });
  }

  user(user: string): Image {
    return this.#step({ user });
  }

  /** Runs in the background from every start. */
  entrypoint(...argv: string[]): Image {
    return this.#with({ entrypoint: argv });
  }

  /** A sandbox counts as started when this holds. */
  ready({ timeoutMs, ...check }: ReadyCheck): Image {
    return this.#with({ ready: { ...check, ...(timeoutMs !== undefined && { timeout_ms: timeoutMs }) } });
  }

  /** What its sandboxes get where their own limits do not say. */
  resources({ cpu, memoryMb, diskMb }: { cpu?: number; memoryMb?: number; diskMb?: number }): Image {
    return this.#with({
      resources: {
        ...(cpu !== undefined && { cpu }),
        ...(memoryMb !== undefined && { memory_mb: memoryMb }),
        ...(diskMb !== undefined && { disk_mb: diskMb }),
      },
    });
  }

  /** Of the steps that do not say themselves. */
  network(network: "open" | "closed"): Image {
    return this.#with({ network });
  }

  /** Of the whole build. */
  timeout(timeoutS: number): Image {
    return this.#with({ timeout_s: timeoutS });
  }

  /** Files here are read and named by their digest; `packed` is told of each, and may upload them. */
  async toSpec(packed: (context: PackedContext) => Promise<void> = async () => {}): Promise<ImageSpec> {
    const { spec, steps, context } = this.#stated;
    const made: ImageSpec = { ...spec };
    if (context) made.context = await digestOf(context, packed);
    if (steps.length === 0) return made;
    made.steps = [];
    for (const step of steps) made.steps.push("local" in step ? await copyStep(step, packed) : step);
    return made;
  }

  #step(step: AnyStep): Image {
    if (this.#stated.spec.dockerfile !== undefined)
      throw new TypeError("An image of a Dockerfile has no further steps: write them into it.");
    return new Image({ ...this.#stated, steps: [...this.#stated.steps, step] });
  }

  #with(spec: Partial<ImageSpec>): Image {
    return new Image({ ...this.#stated, spec: { ...this.#stated.spec, ...spec } });
  }
}

type Packed = (context: PackedContext) => Promise<void>;

async function copyStep({ local, to, owner }: Extract<AnyStep, { local: LocalFiles }>, packed: Packed): Promise<Step> {
  const context = await pack(local);
  await packed(context);
  return { copy: { context: context.digest, from: context.root, to, ...(owner !== undefined && { owner }) } };
}

async function digestOf(local: LocalFiles, packed: Packed): Promise<string> {
  const context = await pack(local);
  await packed(context);
  return context.digest;
}

/** Loaded when it is needed: all else runs where there are no files. */
async function pack({ path, ignore }: LocalFiles): Promise<PackedContext> {
  const { packContext } = await import("./context.ts");
  return packContext(path, ignore);
}
