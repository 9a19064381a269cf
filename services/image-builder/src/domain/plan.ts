import type { BuildStep, HistoryEntry, ImageConfig, LayerRef } from "@banyan/contracts";
import type { z } from "zod";

/** What stands below the first step, pinned: the same value always means the same files. */
export interface ResolvedBase {
  /** As it was asked for. */
  reference: string;
  /** An image's id, a registry's `name@sha256:…`, or a tar's digest. */
  pinnedTo: string;
  /** Null where only the registry's own image says it. */
  config: ImageConfig | null;
  source:
    | { kind: "layers"; layers: LayerRef[] }
    /** `name@sha256:…` */
    | { kind: "registry"; reference: string }
    | { kind: "rootfs"; digest: string };
}

export interface PlannedFile {
  path: string;
  bytes: Buffer;
  /** Permission bits, as in 0o644. */
  mode: number;
  owner: string | null;
}

/** One step, ready to be carried out. */
export interface PlannedStep {
  /** From 0, without gaps. */
  index: number;
  /** The chain of everything up to here: equal keys, equal files. Of one organisation: another one's steps have other keys. */
  key: string;
  /** `apt jq`, `run npm test`; at most 200 characters. */
  title: string;
  /** `config` makes no layer: it changes what is in force for the steps after it. */
  kind: "run" | "files" | "copy" | "config";
  /** For `run`: what `/bin/sh -ec` is given. */
  script: string | null;
  files: PlannedFile[];
  copy: { context: string; from: string; to: string; owner: string | null } | null;
  /** What the spec says up to here, over the base's own. */
  env: Record<string, string>;
  /** Null: the base's. It exists: a step before made it. */
  workdir: string | null;
  /** Null: root for `run`. */
  user: string | null;
  network: "open" | "closed";
  /** Null: only the build's own deadline. */
  timeoutS: number | null;
  secretNames: string[];
}

/** A Dockerfile, which the Docker Engine takes apart into steps of its own. */
export interface PlannedDockerfile {
  key: string;
  text: string;
  context: string | null;
  buildArgs: Record<string, string>;
  /** What its FROM lines refer to outside of it, pinned. One that is an image of ours has `source.kind` `layers`. */
  bases: ResolvedBase[];
  network: "open" | "closed";
}

/** What the finished image's config is made of, over the base's own or the Dockerfile's. */
export interface ConfigChanges {
  env: Record<string, string>;
  workdir: string | null;
  user: string | null;
  entrypoint: string[] | null;
  ready: ImageConfig["ready"];
  resources: ImageConfig["resources"];
}

export interface BuildLimits {
  memoryMb: number;
  cpu: number;
  /** Of what is left of the whole build. */
  timeoutS: number;
}

/** What a build says while it runs. A step that was not planned (a Dockerfile's) is made known by its first word. */
export type Said =
  /** One line, without its end. */
  | { kind: "log"; step: number; stream: "stdout" | "stderr"; text: string }
  | { kind: "step"; step: BuildStep }
  /** Every step is done; the result is being taken apart. */
  | { kind: "exporting" };

export interface BuildOrder {
  orgId: string;
  /** Null for a Dockerfile, which names its own. */
  base: ResolvedBase | null;
  steps: PlannedStep[];
  dockerfile: PlannedDockerfile | null;
  config: ConfigChanges;
  /** Values by name. Only steps that name one see it. */
  secrets: Record<string, string>;
  /** For pulls from this organisation's private registries, by host. */
  registries: Record<string, RegistryAuth>;
  limits: BuildLimits;
  signal: AbortSignal;
  say(said: Said): void;
}

export interface RegistryAuth {
  username: string;
  password: string;
}

/** Its layers are in the blob store. */
export interface BuildResult {
  layers: LayerRef[];
  history: z.infer<typeof HistoryEntry>[];
  config: ImageConfig;
}
