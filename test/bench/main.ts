/** `pnpm bench <name> [--json FILE] [--n N] [--pool N] [--url URL --key KEY]`, and the options that some have of their own. */
import { parseArgs } from "node:util";
import * as build from "./build.ts";
import * as burst from "./burst.ts";
import * as density from "./density.ts";
import * as exec from "./exec.ts";
import * as fork from "./fork.ts";
import { type BenchContext, openContext, progress } from "./lib/context.ts";
import { print, type Report, save, type Target } from "./lib/report.ts";
import * as placing from "./place.ts";
import * as refill from "./refill.ts";
import * as schedule from "./schedule.ts";
import * as spinUp from "./spin-up.ts";
import * as volume from "./volume.ts";

interface Bench<Context> {
  run(context: Context): Promise<Report>;
  targets: readonly Target[];
}

type Entry =
  | { bench: Bench<BenchContext>; poolSize: number; what: string }
  /** Opens what it measures itself. */
  | { bench: Bench<Pick<BenchContext, "n" | "progress" | "options">>; poolSize: null; what: string };

const BENCHES: Record<string, Entry> = {
  "spin-up": {
    bench: spinUp,
    poolSize: 100,
    what: "create + first exec, warm and cold, beside docker run, runc run, unshare, HTTP + NATS",
  },
  exec: { bench: exec, poolSize: 16, what: "second and later commands, beside docker exec and runc exec" },
  burst: { bench: burst, poolSize: 60, what: "50 creates at once to the first exec answer of each" },
  build: { bench: build, poolSize: 16, what: "unchanged, changed and first used images, beside docker build" },
  density: { bench: density, poolSize: 1, what: "memory per idle sandbox and idle CPU at 100 live, with either slot maker" },
  fork: {
    bench: fork,
    poolSize: 110,
    what: "forks of 1, 10, 50 and 100 to the first exec in every child, beside docker commit + docker run",
  },
  volume: {
    bench: volume,
    poolSize: 110,
    what: "attach, disk, transfers and forks with a volume, beside the bare filesystem, cp and curl",
  },
  schedule: { bench: schedule, poolSize: null, what: "a fork of 100,000 over 200 stub nodes, and with something killed in the middle" },
  place: { bench: placing, poolSize: null, what: "one placement in memory, over 200 and 1,000 nodes" },
  refill: { bench: refill, poolSize: null, what: "slots a second until a pool is full, with either slot maker" },
};

function usage(): string {
  const names = Object.entries(BENCHES).map(([name, { what }]) => `  ${name.padEnd(10)}${what}`);
  return [
    "pnpm bench <name> [--json FILE] [--n SAMPLES] [--pool SLOTS] [--url URL --key KEY]",
    ...names,
    "schedule: [--count CHILDREN] [--nodes N] [--chaos all|none|scheduler-killed|nodes-return|nodes-gone|nats-restarted]",
    "fork: [--max CHILDREN[,CHILDREN …]] [--maker docker|oci]; more slots than 400 with BANYAN_SLOTS_MAX",
    "volume: [--only attach|disk|transfer|fork[,…]] [--size-mb MB of the file that is transferred] [--maker docker|oci]",
    "Without --url it starts a Banyan of its own, with data of its own, and stops it at the end.",
  ].join("\n");
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: "string" },
    n: { type: "string" },
    pool: { type: "string" },
    url: { type: "string" },
    key: { type: "string" },
    count: { type: "string" },
    nodes: { type: "string" },
    chaos: { type: "string" },
    max: { type: "string" },
    only: { type: "string" },
    "size-mb": { type: "string" },
    maker: { type: "string" },
    help: { type: "boolean", short: "h" },
  },
});
const chosen = BENCHES[positionals[0] ?? ""];
if (values.help || chosen === undefined) {
  console.log(usage());
  process.exit(values.help ? 0 : 2);
}

const n = values.n === undefined ? undefined : Number(values.n);
const { count, nodes, chaos, max, maker, only, "size-mb": sizeMb } = values;
const options = { count, nodes, chaos, max, maker, only, sizeMb };
const made = await measure(chosen);
print(made, chosen.bench.targets);
if (values.json !== undefined) await save(made, values.json);

async function measure({ bench, poolSize }: Entry): Promise<Report> {
  if (poolSize === null) return bench.run({ n, progress, options });
  const settings = maker === undefined ? {} : { BANYAN_SLOT_MAKER: maker };
  const context = await openContext({ poolSize: Number(values.pool ?? poolSize), n, options, url: values.url, key: values.key, settings });
  try {
    return await bench.run(context);
  } finally {
    await context.close();
  }
}
