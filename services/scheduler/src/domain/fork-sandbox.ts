import type { SandboxSpec } from "@banyan/contracts";
import type { Child, LiveFork } from "./fork-live.ts";
import { FIRST_EPOCH, type Sandbox } from "./sandbox.ts";

/** A child's sandbox that its node is starting, as its row will be when that is acknowledged; until then there is none. */
export function startingSandbox({ row, children, head }: LiveFork, { index, sandboxId, nodeId }: Child): Sandbox | null {
  const { base } = row;
  if (sandboxId === null || nodeId === null || base === null) return null;
  const at = head.startedAt ?? row.createdAt;
  return {
    id: sandboxId,
    orgId: row.orgId,
    spec: specOf(row, children, index),
    state: "starting",
    stateReason: null,
    nodeId,
    origin: { forkId: row.id, index, parentId: row.template.parentId },
    epoch: FIRST_EPOCH,
    version: 0,
    createdAt: at,
    startedAt: null,
    stoppedAt: null,
    lastActiveAt: at,
    expiresAt: null,
    stack: { imageId: base.imageId, layers: children.layers(nodeId), config: base.config },
    hasDisk: false,
    launch: null,
    deadlineAt: row.deadlineAt,
    updatedAt: at,
  };
}

function specOf({ template, spec }: LiveFork["row"], children: LiveFork["children"], index: number): SandboxSpec {
  const { image, resources, workdir, user, network, volumes } = template;
  const { name, env } = children.own(index);
  const { labels, lifetime } = spec;
  return {
    image,
    name,
    env: { ...children.sharedEnv, ...env },
    labels,
    resources,
    hostname: null,
    workdir,
    user,
    network,
    lifetime,
    volumes,
  };
}
