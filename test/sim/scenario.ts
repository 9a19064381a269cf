import type { ForkSpec, VolumeMount } from "@banyan/contracts";
import { beginningOf, type ForkRow } from "../../services/scheduler/src/domain/fork.ts";
import type { Weather } from "./network.ts";
import { type NodeHabits, SANDBOX_MB } from "./node.ts";
import type { Random } from "./random.ts";

/** What a seed is about, before anything happens. */
export interface Scenario {
  weather: Weather;
  nodes: NodeHabits[];
  /** When each fork is asked for. */
  forks: { at: number; row: ForkRow; cancelAt: number | null; deletesAll: boolean }[];
  /** How often something is struck, on average. */
  strikeEveryMs: number;
  /** How long the database takes at most. */
  writeMsMax: number;
  /** A fault of what surrounds the book, for proof that it is found: what nodes report is acknowledged before it is written. */
  acksEarly: boolean;
}

const FORKS_MAX = 4;
const COUNT_MAX = 60;
const DEADLINE_S_MIN = 20;
const DEADLINE_S_MAX = 300;
const ORGS = ["org_a", "org_b"];
const VOLUME: VolumeMount = { volume: "vol_a", version: null, path: "/data", subpath: "", mode: "cow" };

export function scenarioOf(random: Random, startMs: number, chaosMs: number): Scenario {
  const mild = random.chance(0.2);
  const weather: Weather = {
    dropped: mild ? 0 : random.next() * 0.2,
    doubled: mild ? 0 : random.next() * 0.2,
    // Now and then an answer comes when nobody waits for it any more.
    delayMsMax: random.chance(0.15) ? 15_000 : random.int(2, 2_000),
  };
  const nodes = Array.from({ length: random.int(1, 6) }, () => habitsOf(random));
  const forks = Array.from({ length: random.int(1, FORKS_MAX) }, () => {
    const at = random.int(0, chaosMs / 2);
    const row = rowOf(random, startMs + at);
    return { at, row, cancelAt: random.chance(0.2) ? at + random.int(1, chaosMs) : null, deletesAll: random.chance(0.5) };
  });
  return { weather, nodes, forks, strikeEveryMs: random.int(3_000, 60_000), writeMsMax: random.pick([2, 40, 3_000]), acksEarly: false };
}

function habitsOf(random: Random): NodeHabits {
  return {
    sandboxesMax: random.int(2, 30),
    refuses: random.chance(0.3) ? random.next() * 0.5 : 0,
    failsToStart: random.chance(0.3) ? random.next() * 0.3 : 0,
    failsToRun: random.next() * 0.5,
    commandMsMax: random.pick([50, 5_000, 40_000]),
    reachesStore: random.chance(0.8),
    mountsBlindly: false,
    startsTwice: false,
    forgetsRefused: false,
    keepsDeleted: false,
  };
}

function rowOf(random: Random, now: number): ForkRow {
  const spec = specOf(random);
  const isImage = random.chance(0.5);
  return {
    id: `frk_${random.text(26)}`,
    orgId: random.pick(ORGS),
    source: isImage ? { kind: "image", image: "default" } : { kind: "sandbox", sandboxId: `sbx_${random.text(26)}` },
    spec,
    each: [],
    quota: { sandboxes: random.chance(0.2) ? random.int(1, COUNT_MAX) : 10_000, cpu: 10_000, memoryMb: 10_000_000 },
    template: {
      image: "default",
      parentId: null,
      env: {},
      workdir: null,
      user: null,
      network: { egress: "closed", allow: [] },
      resources: { cpu: 1, memoryMb: SANDBOX_MB, pids: 64, diskMb: SANDBOX_MB },
      volumes: random.chance(0.4) ? [VOLUME] : [],
    },
    frozenId: isImage ? null : `frz_${random.text(26)}`,
    base: null,
    freeze: null,
    ...beginningOf(spec, now),
    version: 0,
    eventSeq: 0,
  };
}

function specOf(random: Random): Omit<ForkSpec, "each"> {
  const hasCommand = random.chance(0.7);
  const count = random.int(1, random.chance(0.1) ? COUNT_MAX * 5 : COUNT_MAX);
  const goal = random.pick(["max", "min"] as const);
  const policy = random.pick<ForkSpec["policy"]>([{ kind: "all" }, { kind: "first_success" }, { kind: "best", goal }]);
  return {
    count,
    name: null,
    env: {},
    envCycle: {},
    labels: {},
    resources: null,
    network: null,
    lifetime: { idleTimeoutS: null, maxLifetimeS: null, onIdle: "delete", onExpiry: "delete" },
    volumes: [],
    command: hasCommand
      ? { argv: ["/bin/true"], env: {}, cwd: null, user: null, stdin: null, timeoutMs: 30_000, outputMaxBytes: 100, outputToFiles: false }
      : null,
    policy: hasCommand ? policy : { kind: "all" },
    after: hasCommand ? random.pick(["keep", "stop", "delete"]) : "keep",
    losers: random.pick(["keep", "delete"]),
    spread: random.pick(["auto", "pack", "spread"]),
    maxParallel: random.chance(0.3) ? random.int(1, count) : null,
    retries: random.int(0, 3),
    deadlineS: random.int(DEADLINE_S_MIN, DEADLINE_S_MAX),
  };
}
