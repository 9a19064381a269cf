import { check } from "./invariants.ts";
import type { Runs } from "./runs.ts";
import type { SimStore } from "./store.ts";

/** When nothing goes wrong any more, within this what has happened is known: timeouts, redelivery, the loops' turns, the lease of a lost node. */
const KNOWN_WITHIN_MS = 100_000;

/** No child is forgotten: none counts as running whose command has ended long ago, or who is nowhere. */
export function checkGoesOn({ store, runs }: { store: SimStore; runs: Runs }, forkId: string, now: number, healedAt: number): void {
  const fork = store.forks.get(forkId);
  if (fork === undefined || fork.spec.command === null || now < healedAt + KNOWN_WITHIN_MS) return;
  for (const { index, state, sandboxId } of store.children.get(forkId)?.values() ?? []) {
    if (state !== "running" && state !== "starting") continue;
    const run = runs.bySandbox.get(sandboxId ?? "")?.at(-1);
    if (run === undefined) {
      check(state === "starting", `child ${index} of ${forkId} is running, and was never started`);
      continue;
    }
    const forgotten = run.until !== undefined && now - run.until > KNOWN_WITHIN_MS;
    check(!forgotten, `child ${index} of ${forkId} is still ${state}, though its command ended ${now - (run.until ?? now)} ms ago`);
  }
}
