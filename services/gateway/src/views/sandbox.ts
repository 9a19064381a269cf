import {
  type api,
  DEFAULT_RESOURCES,
  hostnameOf,
  type InputOf,
  type Lifetime,
  type SandboxRecord,
  type SandboxSpec,
  type StartTiming,
  type UpdateSandbox,
} from "@banyan/contracts";
import type { z } from "zod";
import { iso, isoOrNull } from "./time.ts";

/** `image`: by its name or id; a spec has become one before. */
export function specOf(body: api.CreateSandboxBody, image: string): SandboxSpec {
  const { limits } = body;
  return {
    image,
    name: body.name,
    env: body.env,
    labels: body.labels,
    resources: {
      cpu: limits.cpu ?? DEFAULT_RESOURCES.cpu,
      memoryMb: limits.memory_mb ?? DEFAULT_RESOURCES.memoryMb,
      pids: limits.pids,
      diskMb: limits.disk_mb ?? DEFAULT_RESOURCES.diskMb,
    },
    hostname: body.hostname,
    workdir: body.workdir,
    user: body.user,
    network: body.network,
    volumes: body.volumes,
    lifetime: lifetimeOf(body.lifetime),
  };
}

export function lifetimeOf(body: api.CreateSandboxBody["lifetime"]): Lifetime {
  return {
    idleTimeoutS: body.idle_timeout_s,
    maxLifetimeS: body.max_lifetime_s,
    onIdle: body.on_idle,
    onExpiry: body.on_expiry,
  };
}

/** The limits that the caller did not state. */
export function leftToImage({ cpu, memory_mb, disk_mb }: api.CreateSandboxBody["limits"]): ("cpu" | "memoryMb" | "diskMb")[] {
  const stated = { cpu, memoryMb: memory_mb, diskMb: disk_mb };
  return (["cpu", "memoryMb", "diskMb"] as const).filter((amount) => stated[amount] === undefined);
}

/** Only what was given: an absent field stays as it is. */
export function changesOf(body: z.output<typeof api.UpdateSandboxBody>): Pick<InputOf<typeof UpdateSandbox>, "labels" | "lifetime"> {
  const given = body.lifetime;
  const lifetime: Partial<Lifetime> = {
    ...(given?.idle_timeout_s !== undefined && { idleTimeoutS: given.idle_timeout_s }),
    ...(given?.max_lifetime_s !== undefined && { maxLifetimeS: given.max_lifetime_s }),
    ...(given?.on_idle !== undefined && { onIdle: given.on_idle }),
    ...(given?.on_expiry !== undefined && { onExpiry: given.on_expiry }),
  };
  return { ...(body.labels && { labels: body.labels }), ...(given && { lifetime }) };
}

export function sandboxView(sandbox: SandboxRecord): api.Sandbox {
  const { spec } = sandbox;
  return {
    id: sandbox.id,
    state: sandbox.state,
    state_reason: sandbox.stateReason,
    image: spec.image,
    name: spec.name,
    labels: spec.labels,
    limits: { cpu: spec.resources.cpu, memory_mb: spec.resources.memoryMb, pids: spec.resources.pids, disk_mb: spec.resources.diskMb },
    hostname: hostnameOf(sandbox.id, spec),
    network: spec.network,
    lifetime: {
      idle_timeout_s: spec.lifetime.idleTimeoutS,
      max_lifetime_s: spec.lifetime.maxLifetimeS,
      on_idle: spec.lifetime.onIdle,
      on_expiry: spec.lifetime.onExpiry,
    },
    volumes: spec.volumes,
    node_id: sandbox.nodeId,
    origin: sandbox.origin && { fork_id: sandbox.origin.forkId, index: sandbox.origin.index, parent_id: sandbox.origin.parentId },
    epoch: sandbox.epoch,
    created_at: iso(sandbox.createdAt),
    started_at: isoOrNull(sandbox.startedAt),
    stopped_at: isoOrNull(sandbox.stoppedAt),
    last_active_at: iso(sandbox.lastActiveAt),
    expires_at: isoOrNull(sandbox.expiresAt),
  };
}

/** To a microsecond: more is noise. */
const ms = (value: number): number => Math.round(value * 1_000) / 1_000;

export function timingView(timing: StartTiming): z.output<typeof api.Timing> {
  return {
    queue_ms: ms(timing.queueMs),
    place_ms: ms(timing.placeMs),
    claim_ms: ms(timing.claimMs),
    attach_ms: ms(timing.attachMs),
    ready_ms: ms(timing.readyMs),
    total_ms: ms(timing.totalMs),
  };
}
