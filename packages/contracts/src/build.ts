import { idPattern, machine } from "@banyan/kernel";
import { z } from "zod";
import { Image, ImageId } from "./image.ts";
import { BuildSecrets, ImageName, ImageSpec } from "./image-spec.ts";
import { LIMITS } from "./limits.ts";
import { OrgId } from "./sandbox.ts";
import { job, rpc } from "./verbs.ts";

/** The legal life of a build. */
export const buildMachine = machine({
  queued: { begin: "building", cancel: "cancelled", fail: "failed" },
  building: { export: "exporting", requeue: "queued", cancel: "cancelled", fail: "failed" },
  exporting: { finish: "ready", requeue: "queued", cancel: "cancelled", fail: "failed" },
  ready: {},
  failed: {},
  cancelled: {},
});
export const BUILD_STATES = ["queued", "building", "exporting", "ready", "failed", "cancelled"] as const;
export type BuildState = (typeof BUILD_STATES)[number];

export const BuildId = z.string().regex(idPattern("bld"), "not a build id");

export const BuildStep = z.object({
  /** From 0; -1 is what comes before the first step: resolving and fetching the base. */
  index: z.int(),
  /** `apt jq`, `run npm test`, …; cut at 200 characters. */
  title: z.string(),
  state: z.enum(["waiting", "running", "done", "cached", "failed"]),
  durationMs: z.number().nullable(),
  exitCode: z.int().nullable(),
});
export type BuildStep = z.infer<typeof BuildStep>;

/** Why a build failed. `code` is one of the registry's `build.*`; `lastLines` are of the step's output. */
export const BuildFailure = z.object({
  code: z.string(),
  message: z.string(),
  fix: z.string(),
  step: z.int().nullable(),
  exitCode: z.int().nullable(),
  lastLines: z.array(z.string()).max(50),
});
export type BuildFailure = z.infer<typeof BuildFailure>;

/** The work of making an image from a spec. Times are Unix milliseconds. */
export const Build = z.object({
  id: BuildId,
  orgId: OrgId,
  imageId: ImageId,
  state: z.enum(BUILD_STATES),
  /** The key of its spec: equal for equal work. */
  key: z.string(),
  /** Nothing had to be done: the image was there. */
  cached: z.boolean(),
  steps: z.array(BuildStep).max(LIMITS.stepsPerImage + 1),
  failure: BuildFailure.nullable(),
  /** Executions begun so far; more than one after a restart of the builder. */
  attempts: z.int(),
  createdAt: z.int(),
  startedAt: z.int().nullable(),
  endedAt: z.int().nullable(),
});
export type Build = z.infer<typeof Build>;

const BUILD_ERRORS = [
  "request.invalid",
  "image.not_found",
  "image.not_ready",
  "image.build_failed",
  "context.not_found",
  "context.refused",
  "build.too_many",
  "registry.denied",
  "registry.unavailable",
  "database.unavailable",
] as const;

/**
 * The image of this spec: the one there is, the build under way, or a new build. The key of the spec, not the call, is what is unique, so a
 * repeated call needs no id. `force`: also a spec that failed before, which otherwise is built again only after a while.
 */
export const RequestBuild = rpc("image-builder", "build.request", {
  input: z.object({
    orgId: OrgId,
    spec: ImageSpec,
    name: ImageName.nullable(),
    secrets: BuildSecrets,
    force: z.boolean(),
  }),
  output: z.object({ build: Build, image: Image }),
  deadlineMs: 20_000,
  errors: BUILD_ERRORS,
});

/** What a build of this spec would do. Nothing is built, and nothing kept. */
export const PlanBuild = rpc("image-builder", "build.plan", {
  input: z.object({ orgId: OrgId, spec: ImageSpec }),
  output: z.object({
    key: z.string(),
    /** The image is there: nothing would be done. */
    cached: z.boolean(),
    imageId: ImageId.nullable(),
    base: z.object({ reference: z.string(), pinnedTo: z.string() }).nullable(),
    steps: z.array(z.object({ index: z.int(), title: z.string(), cached: z.boolean() })),
    /** From what such steps took before; null where nothing is known. */
    estimatedMs: z.number().nullable(),
    warnings: z.array(z.string()),
  }),
  deadlineMs: 20_000,
  errors: BUILD_ERRORS,
});

export const GetBuild = rpc("image-builder", "build.get", {
  input: z.object({ orgId: OrgId, buildId: BuildId }),
  output: z.object({ build: Build, image: Image }),
  deadlineMs: 5_000,
  errors: ["build.not_found", "database.unavailable"],
});

export const ListBuilds = rpc("image-builder", "build.list", {
  input: z.object({ orgId: OrgId, imageId: ImageId.nullable(), cursor: BuildId.nullable(), limit: z.int().min(1).max(LIMITS.pageSize) }),
  output: z.object({ builds: z.array(Build), nextCursor: BuildId.nullable() }),
  deadlineMs: 5_000,
  errors: ["database.unavailable"],
});

/** Of one that has ended: success, and nothing happens. */
export const CancelBuild = rpc("image-builder", "build.cancel", {
  input: z.object({ orgId: OrgId, buildId: BuildId }),
  output: z.object({ build: Build }),
  deadlineMs: 15_000,
  errors: ["build.not_found", "database.unavailable"],
});

/** What happens in a build, numbered from 1 without gaps, kept after its end. */
export const BuildEvent = z.object({
  seq: z.int().min(1),
  at: z.int(),
  event: z.discriminatedUnion("kind", [
    z.object({ kind: z.literal("log"), step: z.int(), stream: z.enum(["stdout", "stderr"]), text: z.string() }),
    z.object({ kind: z.literal("step"), step: BuildStep }),
    z.object({ kind: z.literal("state"), state: z.enum(BUILD_STATES) }),
  ]),
});
export type BuildEvent = z.infer<typeof BuildEvent>;

/** The events after `after`; where there are none yet, waits up to `waitMs` for one. `ended`: no more will come after these. */
export const ReadBuildEvents = rpc("image-builder", "build.events", {
  input: z.object({
    orgId: OrgId,
    buildId: BuildId,
    after: z.int().min(0),
    limit: z.int().min(1).max(LIMITS.buildEventsPage),
    waitMs: z.int().min(0).max(10_000),
  }),
  output: z.object({ events: z.array(BuildEvent).max(LIMITS.buildEventsPage), ended: z.boolean() }),
  deadlineMs: 15_000,
  errors: ["build.not_found", "database.unavailable"],
});

/** Makes an image that is in state `building` with this version; of any other it does nothing. */
export const BuildImage = job("image-builder", "image.build", {
  input: z.object({ imageId: ImageId, version: z.int() }),
  ackWaitMs: 30_000,
  deliveriesMax: 10,
});

/** Credentials for a private registry. The password is kept sealed and never shown again. */
export const RegistryHost = z
  .string()
  .max(255)
  .regex(/^[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:\d{1,5})?$/, "a host name with an optional port");
export const Registry = z.object({ host: RegistryHost, username: z.string(), createdAt: z.int() });
export type Registry = z.infer<typeof Registry>;
export const SaveRegistry = rpc("image-builder", "registry.save", {
  input: z.object({
    orgId: OrgId,
    host: RegistryHost,
    username: z.string().min(1).max(255),
    password: z.string().min(1).max(LIMITS.secretBytes),
  }),
  output: z.object({ registry: Registry }),
  deadlineMs: 5_000,
  errors: ["database.unavailable"],
});
export const ListRegistries = rpc("image-builder", "registry.list", {
  input: z.object({ orgId: OrgId }),
  output: z.object({ registries: z.array(Registry) }),
  deadlineMs: 5_000,
  errors: ["database.unavailable"],
});
export const DeleteRegistry = rpc("image-builder", "registry.delete", {
  input: z.object({ orgId: OrgId, host: RegistryHost }),
  output: z.object({}),
  deadlineMs: 5_000,
  errors: ["registry.not_found", "database.unavailable"],
});
