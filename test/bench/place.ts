import { type Candidate, place } from "@banyan/scheduler/place";
import type { BenchContext } from "./lib/context.ts";
import { type Report, report, type Target } from "./lib/report.ts";
import { type Result, summarise } from "./lib/stats.ts";

/** Placement is on the path of every create: a start takes milliseconds, so it may take a small part of one. */
export const targets: Target[] = [
  { result: "place.200", percentile: "p50", must: 200, aim: 20 },
  { result: "place.1000", percentile: "p50", must: 1_000, aim: 100 },
];

const SAMPLES = 500;
const PLACEMENTS_PER_SAMPLE = 100;
const WARM_UP = 2_000;
const ASKED = { cpu: 1, memoryMb: 1_024, diskMb: 10_240, sandboxes: 1 };
const LAYERS = ["base", "packages", "application"];

/** Time of one placement over a view of the cluster as it is in work: some nodes full, away or cordoned, some with all layers. */
export async function run({ n = SAMPLES, progress }: Pick<BenchContext, "n" | "progress">): Promise<Report> {
  const results: Result[] = [];
  for (const count of [200, 1_000]) {
    progress(`placing on ${count} nodes`);
    const nodes = Array.from({ length: count }, (_, i) => nodeOf(i));
    results.push(measure(`place.${count}`, n, () => place(nodes, { amounts: ASKED, layers: LAYERS }, Math.random)));
    const none = new Set(nodes.map(({ nodeId }) => nodeId));
    results.push(measure(`refuse.${count}`, n, () => place(nodes, { amounts: ASKED, excluded: none }, Math.random)));
  }
  return report("place", results, [["place.1000", "place.200"]]);
}

function measure(name: string, samples: number, once: () => unknown): Result {
  for (let i = 0; i < WARM_UP; i++) once();
  const perPlacementUs = Array.from({ length: samples }, () => {
    const beganMs = performance.now();
    for (let i = 0; i < PLACEMENTS_PER_SAMPLE; i++) once();
    return ((performance.now() - beganMs) * 1_000) / PLACEMENTS_PER_SAMPLE;
  });
  return summarise(name, "us", perPlacementUs);
}

/** The same for the same number, so that runs compare. */
function nodeOf(i: number): Candidate {
  return {
    nodeId: `node-${i}`,
    reachable: i % 29 !== 0,
    state: i % 31 === 0 ? "joining" : "ready",
    cordoned: i % 37 === 0,
    capacity: { cpu: 128, memoryMb: 524_288, diskMb: 4_000_000, sandboxes: 400 },
    used: { cpu: i % 11 === 0 ? 128 : i % 100, memoryMb: (i * 997) % 400_000, diskMb: (i * 7_919) % 2_000_000, sandboxes: i % 300 },
    slotsFree: i % 7 === 0 ? 0 : i % 17,
    waiting: i % 7 === 0 ? i % 5 : 0,
    layers: new Set(i % 3 === 0 ? [...LAYERS, "other"] : ["base", "other"]),
    stores: new Set(["directory"]),
  };
}
