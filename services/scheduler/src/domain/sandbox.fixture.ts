import { DEFAULT_LIFETIME, DEFAULT_RESOURCES, type SandboxSpec } from "@banyan/contracts";
import { newId } from "@banyan/kernel";
import type { Sandbox } from "./sandbox.ts";

export const specOf = (spec: Partial<SandboxSpec> = {}): SandboxSpec => ({
  image: "default",
  name: null,
  env: {},
  labels: {},
  resources: DEFAULT_RESOURCES,
  hostname: null,
  workdir: null,
  user: null,
  network: { egress: "open", allow: [] },
  lifetime: DEFAULT_LIFETIME,
  volumes: [],
  ...spec,
});

/** For tests: one that has just been placed. */
export function sandboxOf(changes: Partial<Sandbox> = {}): Sandbox {
  return {
    id: newId("sbx"),
    orgId: newId("org"),
    spec: specOf(),
    stack: {
      imageId: newId("img"),
      layers: [],
      config: { env: {}, workdir: "/", user: "root", entrypoint: [], ready: null, resources: {} },
    },
    hasDisk: false,
    origin: null,
    launch: null,
    state: "starting",
    stateReason: null,
    nodeId: "node-a",
    epoch: 1,
    version: 1,
    createdAt: 0,
    startedAt: null,
    stoppedAt: null,
    lastActiveAt: 0,
    expiresAt: null,
    deadlineAt: 1_000,
    updatedAt: 0,
    ...changes,
  };
}
