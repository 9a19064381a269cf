import { DEFAULT_LIFETIME, type ForkSpec } from "@banyan/contracts";

/** A fork of three without a command; what a test is about is its own. */
export const forkSpec = (spec: Partial<ForkSpec> = {}): ForkSpec => ({
  count: 3,
  name: null,
  env: {},
  envCycle: {},
  each: [],
  labels: {},
  resources: null,
  network: null,
  lifetime: DEFAULT_LIFETIME,
  volumes: [],
  command: null,
  policy: { kind: "all" },
  after: "keep",
  losers: "keep",
  spread: "auto",
  maxParallel: null,
  retries: 1,
  deadlineS: 600,
  ...spec,
});
