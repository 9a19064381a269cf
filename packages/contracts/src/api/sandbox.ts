import { z } from "zod";
import { BuildSecrets, ImageSpec } from "../image-spec.ts";
import { LIMITS } from "../limits.ts";
import { Cidr, DEFAULT_LIFETIME, DEFAULT_RESOURCES, Env, Labels, Name, SANDBOX_STATES, SandboxPath, UserSpec } from "../sandbox.ts";
import { Mount, MountInputs } from "./volume.ts";

/**
 * The public face speaks snake_case; units last in names. Every input is strict: an unknown field is an error, not a silence.
 * A limit that is not stated is the image's own, else the default.
 */
export const LimitsInput = z.strictObject({
  cpu: z
    .number()
    .min(LIMITS.cpuMin)
    .max(LIMITS.cpuMax)
    .optional()
    .describe(`Cores; fractions allowed. ${orImages(DEFAULT_RESOURCES.cpu)}`),
  memory_mb: z.int().min(LIMITS.memoryMbMin).max(LIMITS.memoryMbMax).optional().describe(orImages(DEFAULT_RESOURCES.memoryMb)),
  pids: z.int().min(LIMITS.pidsMin).max(LIMITS.pidsMax).default(DEFAULT_RESOURCES.pids).describe("Processes and threads at once."),
  disk_mb: z
    .int()
    .min(LIMITS.diskMbMin)
    .max(LIMITS.diskMbMax)
    .optional()
    .describe(`What the sandbox may write. ${orImages(DEFAULT_RESOURCES.diskMb)}`),
});

function orImages(amount: number): string {
  return `Default: the image's, else ${amount}.`;
}

export const NetworkInput = z.strictObject({
  egress: z
    .enum(["open", "closed", "allow"])
    .default("open")
    .describe("open: the internet, never private ranges; closed: nothing; allow: only `allow`."),
  allow: z.array(Cidr).max(LIMITS.egressRules).default([]).describe("IPv4 addresses or ranges, with egress `allow`."),
});

const seconds = z.int().min(1).max(LIMITS.lifetimeMaxS).nullable();
export const LifetimeInput = z.strictObject({
  idle_timeout_s: seconds.default(DEFAULT_LIFETIME.idleTimeoutS).describe("Null: never."),
  max_lifetime_s: seconds.default(DEFAULT_LIFETIME.maxLifetimeS).describe("Counted from creation. Null: never."),
  on_idle: z.enum(["stop", "delete"]).default(DEFAULT_LIFETIME.onIdle),
  on_expiry: z.enum(["stop", "delete"]).default(DEFAULT_LIFETIME.onExpiry),
});

export const CreateSandboxBody = z.strictObject({
  image: z
    .union([z.string().min(1).max(255), ImageSpec])
    .default("default")
    .describe("The name or id of an image, or a spec: it is built where need be."),
  secrets: BuildSecrets.default({}).describe("For the build of a spec. Never kept."),
  on_unready: z.enum(["delete", "keep"]).default("delete").describe("What becomes of it where its image's ready check does not pass."),
  name: Name.nullable().default(null),
  env: Env.default({}),
  labels: Labels.default({}),
  limits: LimitsInput.default({ pids: DEFAULT_RESOURCES.pids }),
  hostname: Name.nullable().default(null),
  workdir: SandboxPath.nullable().default(null),
  user: UserSpec.nullable().default(null),
  network: NetworkInput.default({ egress: "open", allow: [] }),
  volumes: MountInputs.default([]).describe("Volumes to mount."),
  lifetime: LifetimeInput.default({ idle_timeout_s: 900, max_lifetime_s: null, on_idle: "stop", on_expiry: "delete" }),
  wait_ms: z.int().min(1).max(LIMITS.createDeadlineMsMax).default(10_000).describe("How long to wait for a slot before 503."),
});
export type CreateSandboxBody = z.infer<typeof CreateSandboxBody>;
export type CreateSandboxInput = z.input<typeof CreateSandboxBody>;

export const StartSandboxBody = z.strictObject({ wait_ms: z.int().min(1).max(LIMITS.createDeadlineMsMax).default(10_000) });
export const StopSandboxBody = z.strictObject({
  grace_ms: z.int().min(0).max(60_000).default(0).describe("Time between SIGTERM to every process and SIGKILL."),
});

export const UpdateSandboxBody = z.strictObject({
  labels: z
    .record(z.string(), z.string().max(LIMITS.labelValueLength).nullable())
    .optional()
    .describe("Merged into the labels there are; null removes one."),
  lifetime: z
    .strictObject({
      idle_timeout_s: seconds,
      max_lifetime_s: seconds,
      on_idle: z.enum(["stop", "delete"]),
      on_expiry: z.enum(["stop", "delete"]),
    })
    .partial()
    .optional(),
});

export const Timing = z.object({
  queue_ms: z.number(),
  place_ms: z.number(),
  claim_ms: z.number(),
  attach_ms: z.number(),
  ready_ms: z.number().describe("Until it answered, and its image's ready check passed where there is one."),
  total_ms: z.number(),
});

export const Sandbox = z.object({
  id: z.string(),
  state: z.enum(SANDBOX_STATES),
  state_reason: z.string().nullable(),
  image: z.string(),
  name: z.string().nullable(),
  labels: z.record(z.string(), z.string()),
  limits: z.object({ cpu: z.number(), memory_mb: z.int(), pids: z.int(), disk_mb: z.int() }),
  hostname: z.string(),
  network: z.object({ egress: z.enum(["open", "closed", "allow"]), allow: z.array(z.string()) }),
  lifetime: z.object({
    idle_timeout_s: z.int().nullable(),
    max_lifetime_s: z.int().nullable(),
    on_idle: z.enum(["stop", "delete"]),
    on_expiry: z.enum(["stop", "delete"]),
  }),
  volumes: z.array(Mount).describe("What is mounted, or will be at its next start."),
  node_id: z.string().nullable().describe("Null: all its files are archived, and it can start on any node."),
  origin: z
    .object({
      fork_id: z.string(),
      index: z.int(),
      parent_id: z.string().nullable().describe("Null: forked from an image."),
    })
    .nullable()
    .describe("Of a child of a fork: where it came from."),
  epoch: z.int().describe("Its incarnation: goes up at every start."),
  created_at: z.iso.datetime(),
  started_at: z.iso.datetime().nullable(),
  stopped_at: z.iso.datetime().nullable(),
  last_active_at: z.iso.datetime(),
  expires_at: z.iso.datetime().nullable(),
});
export type Sandbox = z.infer<typeof Sandbox>;

/** The reply of create and start. */
export const StartedSandbox = Sandbox.extend({ path: z.enum(["warm", "cold"]), timing: Timing });
export type StartedSandbox = z.infer<typeof StartedSandbox>;

export const SandboxPage = z.object({ sandboxes: z.array(Sandbox), next_cursor: z.string().nullable() });
