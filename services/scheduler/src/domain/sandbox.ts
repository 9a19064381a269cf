import {
  hostnameOf,
  type ImageConfig,
  type MountOrder,
  type SandboxRecord,
  type StackLayer,
  type StartOrder,
  type StartPath,
  type StartTiming,
} from "@banyan/contracts";

/** The image as it was when the sandbox was created: its name may mean another one later, the upper fits only this. */
export interface Stack {
  imageId: string;
  /** Bottom first. Of one without a disk: digests only, so that any node can have them. */
  layers: StackLayer[];
  config: ImageConfig;
}

/** How the last start went. Kept, so that a repeated create is answered like the first. */
export interface Launch {
  path: StartPath;
  timing: StartTiming;
}

/** The whole row: what others may know, and what only the scheduler needs. */
export interface Sandbox extends SandboxRecord {
  stack: Stack;
  /** It has a disk, on its node; else all its files are in its stack, and its next start makes it one. */
  hasDisk: boolean;
  launch: Launch | null;
  /** In an unfinished state: when the loops look after it. Null in every other. */
  deadlineAt: number | null;
  updatedAt: number;
}

export function recordOf(sandbox: Sandbox): SandboxRecord {
  const { stack: _stack, hasDisk: _hasDisk, launch: _launch, deadlineAt: _deadlineAt, updatedAt: _updatedAt, ...record } = sandbox;
  return record;
}

/** What a node is told to run. `epoch`, the mounts and the wait are the start's own. */
export function startOrder(sandbox: Sandbox, mounts: MountOrder[], slotWaitMs: number): StartOrder {
  const { id, orgId, epoch, spec, stack } = sandbox;
  return {
    sandboxId: id,
    orgId,
    epoch,
    fresh: !sandbox.hasDisk,
    layers: stack.layers,
    env: { ...stack.config.env, ...spec.env },
    workdir: spec.workdir ?? stack.config.workdir,
    user: spec.user ?? stack.config.user,
    hostname: hostnameOf(id, spec),
    resources: spec.resources,
    network: spec.network,
    mounts,
    deadlineMs: Math.max(0, Math.floor(slotWaitMs)),
  };
}

/** Of a sandbox that has never been stopped. */
export const FIRST_EPOCH = 1;
