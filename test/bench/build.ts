import { randomBytes } from "node:crypto";
import type { api } from "@banyan/contracts";
import type { BenchContext } from "./lib/context.ts";
import { type Report, report, type Target } from "./lib/report.ts";
import { type Result, summarise } from "./lib/stats.ts";
import { fullPool } from "./spin-up.ts";

export const targets: Target[] = [
  { result: "build.unchanged", percentile: "p50", must: 60, aim: 30 },
  { result: "changed.over-docker-build", percentile: "p50", aim: 150 },
];

/** What both builders make: a step that takes time once, and a file that changes. */
const STEP = "mkdir -p /app && seq 1 20000 > /app/data";
const LAST_FILE = "/app/last";

const specWith = (content: string): api.BuildImageInput["spec"] => ({
  steps: [{ run: STEP }, { file: { path: LAST_FILE, content } }],
});

interface Timed {
  samples: number[];
  failed: number;
}

/** Builds through the API beside `docker build` of the same thing; and what an image costs that a node has never started. */
export async function run(context: BenchContext): Promise<Report> {
  const n = context.n ?? 100;
  const few = Math.min(30, n);
  const first = await context.client.build(specWith("first"));
  const unchanged = await times(n, async () => (await context.client.build(specWith("first"))).ms);
  const changed = await inPool(context, few, () => changedToRunning(context));
  const missing = await inPool(context, few, () => firstWithMissingLayer(context));
  await inPool(context, 1, () => createAndExec(context, first.body.image.id));
  const present = await inPool(context, few, () => firstWithPresentLayers(context));
  const warm = await inPool(context, few, () => createAndExec(context, "default"));
  const peers = await context.peers();
  const docker = await peers.build({ step: STEP, lastFile: LAST_FILE, cached: few, changed: few });
  return report(
    "build",
    [
      result("build.unchanged", unchanged),
      result("changed.to-running", changed),
      overDocker(changed, docker.changed),
      result("first.missing-layer", missing),
      result("first.present-layers", present),
      result("tti.warm", warm),
      result("peer.docker-build-cached", docker.cached),
      result("peer.docker-build-changed", docker.changed),
    ],
    [
      ["build.unchanged", "peer.docker-build-cached"],
      ["changed.to-running", "peer.docker-build-changed"],
      ["first.present-layers", "tti.warm"],
    ],
  );
}

/** A changed last file, by one call that builds and starts, to the first answer of a command that reads it. */
async function changedToRunning({ client }: BenchContext): Promise<[number, string]> {
  const content = randomBytes(8).toString("hex");
  const startedMs = performance.now();
  const { body } = await client.create({ image: specWith(content), wait_ms: 60_000 });
  const read = await client.exec(body.id, { argv: ["cat", LAST_FILE] });
  const ms = performance.now() - startedMs;
  if (read.body.stdout !== content) throw new Error(`the sandbox has ${read.body.stdout} in place of ${content}`);
  return [ms, body.id];
}

/** The build has ended; the node has every layer but the last one. */
async function firstWithMissingLayer(context: BenchContext): Promise<[number, string]> {
  const { body } = await context.client.build(specWith(randomBytes(8).toString("hex")));
  return createAndExec(context, body.image.id);
}

/** A new image of layers that the node has: only a variable that is set after the last step differs. */
async function firstWithPresentLayers(context: BenchContext): Promise<[number, string]> {
  const { steps } = specWith("first");
  const { body } = await context.client.build({ steps: [...(steps ?? []), { env: { BENCH: randomBytes(8).toString("hex") } }] });
  return createAndExec(context, body.image.id);
}

async function createAndExec({ client }: BenchContext, image: string): Promise<[number, string]> {
  const startedMs = performance.now();
  const { body } = await client.create({ image });
  await client.exec(body.id, { argv: ["/bin/true"] });
  return [performance.now() - startedMs, body.id];
}

async function times(n: number, once: () => Promise<number>): Promise<Timed> {
  const samples: number[] = [];
  let failed = 0;
  for (let i = 0; i < n; i++) {
    await once().then(
      (ms) => samples.push(ms),
      (error: unknown) => {
        failed++;
        console.error(String(error));
      },
    );
  }
  return { samples, failed };
}

/** Each from a full pool: what is measured is the image, not the making of slots. */
async function inPool(context: BenchContext, n: number, once: () => Promise<[number, string]>): Promise<Timed> {
  const ids: string[] = [];
  let free = 0;
  const timed = await times(n, async () => {
    if (free < 2) {
      await Promise.all(ids.splice(0).map((id) => context.client.remove(id)));
      free = await fullPool(context);
    }
    free--;
    const [ms, id] = await once();
    ids.push(id);
    return ms;
  });
  await Promise.all(ids.map((id) => context.client.remove(id)));
  return timed;
}

const result = (name: string, { samples, failed }: Timed): Result => summarise(name, "ms", samples, failed);

/** What is added to the time of `docker build` alone, whose median is taken off each sample. */
function overDocker(changed: Timed, docker: Timed): Result {
  const { p50 } = result("", docker);
  return summarise(
    "changed.over-docker-build",
    "ms",
    changed.samples.map((ms) => ms - p50),
    changed.failed,
  );
}
