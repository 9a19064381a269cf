/** `pnpm bench <name> [--json FILE] [--n N] [--pool N] [--url URL --key KEY]` */
import { parseArgs } from "node:util";
import * as build from "./build.ts";
import * as burst from "./burst.ts";
import * as density from "./density.ts";
import * as exec from "./exec.ts";
import { type BenchContext, openContext } from "./lib/context.ts";
import { print, type Report, save, type Target } from "./lib/report.ts";
import * as spinUp from "./spin-up.ts";

interface Bench {
  run(context: BenchContext): Promise<Report>;
  targets: readonly Target[];
}

const BENCHES: Record<string, { bench: Bench; poolSize: number; what: string }> = {
  "spin-up": {
    bench: spinUp,
    poolSize: 100,
    what: "create + first exec, warm and cold, beside docker run, runc run, unshare, HTTP + NATS",
  },
  exec: { bench: exec, poolSize: 16, what: "second and later commands, beside docker exec and runc exec" },
  burst: { bench: burst, poolSize: 60, what: "50 creates at once to the first exec answer of each" },
  build: { bench: build, poolSize: 16, what: "unchanged, changed and first used images, beside docker build" },
  density: { bench: density, poolSize: 1, what: "memory per idle sandbox and idle CPU at 100 live" },
};

function usage(): string {
  const names = Object.entries(BENCHES).map(([name, { what }]) => `  ${name.padEnd(10)}${what}`);
  return [
    "pnpm bench <name> [--json FILE] [--n SAMPLES] [--pool SLOTS] [--url URL --key KEY]",
    ...names,
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
    help: { type: "boolean", short: "h" },
  },
});
const chosen = BENCHES[positionals[0] ?? ""];
if (values.help || chosen === undefined) {
  console.log(usage());
  process.exit(values.help ? 0 : 2);
}

const context = await openContext({
  poolSize: Number(values.pool ?? chosen.poolSize),
  n: values.n === undefined ? undefined : Number(values.n),
  url: values.url,
  key: values.key,
});
try {
  const made = await chosen.bench.run(context);
  print(made, chosen.bench.targets);
  if (values.json !== undefined) await save(made, values.json);
} finally {
  await context.close();
}
