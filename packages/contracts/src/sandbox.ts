import { idPattern, machine } from "@banyan/kernel";
import { z } from "zod";
import { LIMITS } from "./limits.ts";
import { VolumeMounts } from "./volume-mount.ts";

/** The legal life of a sandbox. Drawn in the docs from this table. */
export const sandboxMachine = machine({
  starting: { started: "running", failed: "failed", gave_up: "stopped", delete: "deleting" },
  running: { stop: "stopping", died: "stopped", lost: "failed", delete: "deleting" },
  stopping: { stopped: "stopped", lost: "failed", delete: "deleting" },
  // Its files went into its stack, or became those of a child: nothing of it is left on a node.
  stopped: { start: "starting", archived: "stopped", promoted: "stopped", lost: "failed", delete: "deleting" },
  failed: { recovered: "running", delete: "deleting" },
  deleting: { deleted: "deleted" },
  deleted: {},
});
export const SANDBOX_STATES = ["starting", "running", "stopping", "stopped", "failed", "deleting", "deleted"] as const;
export type SandboxState = (typeof SANDBOX_STATES)[number];

export const SandboxId = z.string().regex(idPattern("sbx"), "not a sandbox id");
export const OrgId = z.string().regex(idPattern("org"), "not an organisation id");
export const NodeId = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/, "a node id holds letters, digits, - and _");

const NO_CONTROL = /^[^\p{Cc}]*$/u;
export const Name = z
  .string()
  .regex(/^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/, "lower-case letters, digits and inner hyphens")
  .max(LIMITS.nameLength);

export const Labels = z
  .record(
    z
      .string()
      .regex(/^[A-Za-z0-9][A-Za-z0-9._/-]*$/, "letters, digits, . _ / -")
      .max(LIMITS.labelKeyLength),
    z.string().max(LIMITS.labelValueLength).regex(NO_CONTROL, "no control characters"),
  )
  .refine((labels) => Object.keys(labels).length <= LIMITS.labelsPerSandbox, `at most ${LIMITS.labelsPerSandbox} labels`);

export const Env = z
  .record(
    z
      .string()
      .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, "letters, digits and _, not starting with a digit")
      .max(LIMITS.envKeyLength),
    z
      .string()
      .refine((value) => !value.includes("\0"), "no NUL")
      .refine((value) => Buffer.byteLength(value) <= LIMITS.envValueBytes, `at most ${LIMITS.envValueBytes} bytes a value`),
  )
  .refine((env) => Object.keys(env).length <= LIMITS.envVariables, `at most ${LIMITS.envVariables} variables`)
  .refine(
    (env) => Object.entries(env).reduce((sum, [key, value]) => sum + key.length + Buffer.byteLength(value), 0) <= LIMITS.envTotalBytes,
    `at most ${LIMITS.envTotalBytes} bytes in all`,
  );

/** An absolute path inside a sandbox. `..` is legal: it is resolved inside, where it cannot lead out. */
export const SandboxPath = z
  .string()
  .min(1)
  .refine((path) => path.startsWith("/"), "must be absolute")
  .refine((path) => !path.includes("\0"), "no NUL")
  .refine((path) => Buffer.byteLength(path) <= LIMITS.pathBytes, `at most ${LIMITS.pathBytes} bytes`);

export const UserSpec = z
  .string()
  .regex(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,63})?$/, "a name or uid, with an optional :group or :gid");

export const Resources = z.strictObject({
  cpu: z.number().min(LIMITS.cpuMin).max(LIMITS.cpuMax),
  memoryMb: z.int().min(LIMITS.memoryMbMin).max(LIMITS.memoryMbMax),
  pids: z.int().min(LIMITS.pidsMin).max(LIMITS.pidsMax),
  diskMb: z.int().min(LIMITS.diskMbMin).max(LIMITS.diskMbMax),
});
export type Resources = z.infer<typeof Resources>;
export const DEFAULT_RESOURCES: Resources = { cpu: 1, memoryMb: 1024, pids: 512, diskMb: 10_240 };

/** An IPv4 address or range. */
export const Cidr = z.union([z.cidrv4(), z.ipv4()]);
export const NetworkPolicy = z.strictObject({
  /** open: the internet but no private range; closed: nothing; allow: only `allow`. */
  egress: z.enum(["open", "closed", "allow"]),
  allow: z.array(Cidr).max(LIMITS.egressRules),
});
export type NetworkPolicy = z.infer<typeof NetworkPolicy>;

export const Lifetime = z.strictObject({
  /** Without activity for this long, `onIdle` happens. Null: never. */
  idleTimeoutS: z.int().min(1).max(LIMITS.lifetimeMaxS).nullable(),
  /** This long after its creation, `onExpiry` happens. Null: never. */
  maxLifetimeS: z.int().min(1).max(LIMITS.lifetimeMaxS).nullable(),
  onIdle: z.enum(["stop", "delete"]),
  onExpiry: z.enum(["stop", "delete"]),
});
export type Lifetime = z.infer<typeof Lifetime>;
export const DEFAULT_LIFETIME: Lifetime = { idleTimeoutS: 900, maxLifetimeS: null, onIdle: "stop", onExpiry: "delete" };

/** What a sandbox is asked to be; complete, with every default filled in by the gateway. */
export const SandboxSpec = z.strictObject({
  image: z.string().min(1).max(255),
  name: Name.nullable(),
  env: Env,
  labels: Labels,
  resources: Resources,
  hostname: Name.nullable(),
  workdir: SandboxPath.nullable(),
  user: UserSpec.nullable(),
  network: NetworkPolicy,
  lifetime: Lifetime,
  /** Absent in what was written before there were volumes. */
  volumes: VolumeMounts.default([]),
});
export type SandboxSpec = z.infer<typeof SandboxSpec>;

/** What it calls itself inside. An underscore is not legal in a host name, so its id stands there with a hyphen. */
export const hostnameOf = (id: string, spec: Pick<SandboxSpec, "hostname" | "name">): string =>
  spec.hostname ?? spec.name ?? id.replace("_", "-");

/** Where a child of a fork came from. `parentId` null: from an image. */
export const SandboxOrigin = z.object({ forkId: z.string().regex(idPattern("frk")), index: z.int(), parentId: SandboxId.nullable() });
export type SandboxOrigin = z.infer<typeof SandboxOrigin>;

/** A sandbox as its owner knows it. Times are Unix milliseconds. */
export const SandboxRecord = z.object({
  id: SandboxId,
  orgId: OrgId,
  spec: SandboxSpec,
  state: z.enum(SANDBOX_STATES),
  /** Why it is in this state, where that is not obvious: `idle`, `expired`, `slot_died`, … */
  stateReason: z.string().nullable(),
  /** Null for a stopped one whose files are all in its stack: any node can start it. */
  nodeId: NodeId.nullable(),
  origin: SandboxOrigin.nullable(),
  /** Its incarnation: goes up at every start. Commands carry it. */
  epoch: z.int(),
  /** Goes up at every change of the row. */
  version: z.int(),
  createdAt: z.int(),
  startedAt: z.int().nullable(),
  stoppedAt: z.int().nullable(),
  lastActiveAt: z.int(),
  expiresAt: z.int().nullable(),
});
export type SandboxRecord = z.infer<typeof SandboxRecord>;

/** Where the time of a start went, in milliseconds with fractions. */
export const StartTiming = z.object({
  /** Waiting for a place in the scheduler's or node's queue. */
  queueMs: z.number(),
  placeMs: z.number(),
  /** Until a slot was in hand. */
  claimMs: z.number(),
  attachMs: z.number(),
  /** From the attach to init's first answer; 0 where that is not asked. */
  readyMs: z.number(),
  totalMs: z.number(),
});
export type StartTiming = z.infer<typeof StartTiming>;
export const StartPath = z.enum(["warm", "cold"]);
export type StartPath = z.infer<typeof StartPath>;

/** Where a running sandbox is reached. */
export const SandboxRoute = z.object({ sandboxId: SandboxId, orgId: OrgId, nodeId: NodeId, url: z.url(), epoch: z.int() });
export type SandboxRoute = z.infer<typeof SandboxRoute>;
