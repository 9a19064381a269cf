import type { BenchContext } from "./lib/context.ts";
import { httpNatsFloor } from "./lib/floors.ts";
import { type Report, report, type Target } from "./lib/report.ts";
import { summarise } from "./lib/stats.ts";
import { fullPool } from "./spin-up.ts";

export const targets: Target[] = [{ result: "exec", percentile: "p50", must: 3, aim: 1.5 }];

const SANDBOXES = 10;

/** Second and later commands in sandboxes that have run one. */
export async function run(context: BenchContext): Promise<Report> {
  const n = context.n ?? 2_000;
  await fullPool(context);
  const samples: number[] = [];
  const shell: number[] = [];
  const inCommand: number[] = [];
  const inNode: number[] = [];
  let failed = 0;
  for (let i = 0; i < SANDBOXES; i++) {
    const { body } = await context.client.create();
    await context.client.exec(body.id, { argv: ["/bin/true"] });
    for (let k = 0; k < n / SANDBOXES; k++) {
      try {
        const plain = await context.client.exec(body.id, { argv: ["/bin/true"] });
        if (plain.body.exit_code !== 0) throw new Error(`exit code ${plain.body.exit_code}`);
        samples.push(plain.ms);
        inCommand.push(plain.body.duration_ms);
        inNode.push(plain.body.timing.total_ms);
        const echo = await context.client.exec(body.id, { shell: "echo hello" });
        if (echo.body.stdout === "hello\n") shell.push(echo.ms);
        else failed++;
      } catch {
        failed++;
      }
    }
    await context.client.remove(body.id);
  }
  const peers = await context.peers();
  const results = [
    summarise("exec", "ms", samples, failed),
    summarise("where.command", "ms", inCommand),
    summarise("where.node", "ms", inNode),
    summarise("exec.shell-echo", "ms", shell),
    ...(await peers.exec({ docker: 60, runc: 100 })),
    await httpNatsFloor(1_000),
  ];
  return report("exec", results, [
    ["exec", "peer.docker-exec"],
    ["exec", "peer.runc-exec"],
  ]);
}
