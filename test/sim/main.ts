/** `pnpm sim [--seeds N] [--from SEED]`: so many runs of a whole cluster under simulated time; `--seed SEED`: that one, with all that happens in it. */
import { parseArgs } from "node:util";
import { simulate } from "./simulate.ts";

const { values } = parseArgs({
  options: { seeds: { type: "string", default: "1000" }, from: { type: "string", default: "1" }, seed: { type: "string" } },
});
const FAILURES_SHOWN_MAX = 5;

if (values.seed !== undefined) {
  console.log(simulate(Number(values.seed), { say: (line) => console.log(line) }));
} else {
  const first = Number(values.from);
  const count = Number(values.seeds);
  const startedMs = performance.now();
  const totals = { forks: 0, children: 0, steps: 0, crashes: 0 };
  let failed = 0;
  for (let seed = first; seed < first + count; seed++) {
    try {
      const outcome = simulate(seed);
      for (const key of ["forks", "children", "steps", "crashes"] as const) totals[key] += outcome[key];
    } catch (error) {
      if (++failed <= FAILURES_SHOWN_MAX) console.error(String(error));
    }
  }
  const seconds = ((performance.now() - startedMs) / 1_000).toFixed(1);
  console.log(`${count - failed} of ${count} seeds kept every promise, in ${seconds} s: ${JSON.stringify(totals)}`);
  process.exitCode = failed === 0 ? 0 : 1;
}
