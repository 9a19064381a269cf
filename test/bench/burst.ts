import type { BenchContext } from "./lib/context.ts";
import { type Report, report, type Target } from "./lib/report.ts";
import { summarise } from "./lib/stats.ts";
import { fullPool } from "./spin-up.ts";

export const targets: Target[] = [{ result: "burst.wall", percentile: "p50", aim: 100 }];

const WIDTH = 50;

/** 50 creates at once, each followed by its first exec: wall clock from the first request to the last answer. */
export async function run(context: BenchContext): Promise<Report> {
  const rounds = context.n ?? 10;
  const walls: number[] = [];
  const each: number[] = [];
  let failed = 0;
  for (let round = 0; round < rounds; round++) {
    await fullPool(context);
    const startedMs = performance.now();
    const settled = await Promise.allSettled(
      Array.from({ length: WIDTH }, async () => {
        const { body } = await context.client.create();
        const executed = await context.client.exec(body.id, { argv: ["/bin/true"] });
        each.push(performance.now() - startedMs);
        if (executed.body.exit_code !== 0) throw new Error(`exit code ${executed.body.exit_code}`);
        return body.id;
      }),
    );
    walls.push(performance.now() - startedMs);
    failed += settled.filter((outcome) => outcome.status === "rejected").length;
    await Promise.all(settled.flatMap((outcome) => (outcome.status === "fulfilled" ? [context.client.remove(outcome.value)] : [])));
    context.progress(`burst ${round + 1}/${rounds}`);
  }
  const peers = await context.peers();
  const results = [
    summarise("burst.wall", "ms", walls, failed),
    summarise("burst.each", "ms", each),
    await peers.burst(WIDTH, Math.min(3, rounds)),
  ];
  return report("burst", results, [["burst.wall", `peer.docker-run-${WIDTH}`]]);
}
