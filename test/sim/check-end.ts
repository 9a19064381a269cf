import { forkChildMachine, forkMachine } from "@banyan/contracts";
import { check } from "./invariants.ts";
import type { SimNode } from "./node.ts";
import type { Runs } from "./runs.ts";
import type { SandboxRow, SimStore } from "./store.ts";

export interface Ended {
  store: SimStore;
  runs: Runs;
  nodes: ReadonlyMap<string, SimNode>;
  /** Nodes that will never come back. */
  gone: ReadonlySet<string>;
}

/** What has to be true when all forks have ended and the loops have had their time. */
export function checkEnd(ended: Ended): void {
  for (const forkId of ended.store.forks.keys()) checkFork(ended, forkId);
  checkLeftOvers(ended);
}

function checkFork({ store, runs }: Ended, forkId: string): void {
  const fork = store.forks.get(forkId);
  const children = store.children.get(forkId);
  check(fork !== undefined && children !== undefined && forkMachine.isFinal(fork.state), `${forkId} has not ended`);
  const { counts, spec } = fork;
  check(counts.waiting + counts.starting === 0, `${forkId} has ended, and ${JSON.stringify(counts)}`);
  check(spec.command === null || counts.running === 0, `${forkId} has ended, and ${counts.running} commands run`);
  const events = store.events.get(forkId) ?? [];
  const states = events.flatMap(({ event }) => (event.kind === "state" ? [event.state] : []));
  check(states.at(-1) === fork.state, `${forkId} is ${fork.state}, its last event says ${states.at(-1)}`);
  const told = events.flatMap(({ event }) => (event.kind === "children" ? [event.counts] : [])).at(-1);
  check(
    told === undefined || JSON.stringify(told) === JSON.stringify(counts),
    `${forkId}: the last counts told are ${JSON.stringify(told)}, the last ${JSON.stringify(counts)}`,
  );
  for (const child of children.values()) {
    const name = `child ${child.index} of ${forkId}`;
    const isOver = forkChildMachine.isFinal(child.state) || child.state === "lost" || (child.state === "running" && spec.command === null);
    check(isOver, `${name} is still ${child.state}`);
    const begun = runs.countOf(forkId, child.index);
    check(begun <= 1 + child.losses, `${name} ran ${begun} times, and was lost ${child.losses} times`);
    check(child.losses <= spec.retries + 1, `${name} was lost ${child.losses} times, with ${spec.retries} retries`);
    if (child.state !== "succeeded") continue;
    const truth = runs.bySandbox.get(child.sandboxId ?? "")?.at(-1);
    check(truth?.exitCode === 0, `${name} has succeeded, its command ended with ${truth?.exitCode}`);
  }
  checkWinner(fork.winner, spec.policy, children);
}

function checkWinner(
  winner: number | null,
  policy: { kind: string; goal?: "max" | "min" },
  children: ReadonlyMap<number, { index: number; state: string; score: number | null }>,
): void {
  if (winner === null) return;
  const won = children.get(winner);
  check(policy.kind !== "all" && won?.state === "succeeded", `child ${winner} has won, and is ${won?.state}`);
  if (policy.kind !== "best") return;
  for (const { index, state, score } of children.values()) {
    if (state !== "succeeded" || score === null || won.score === null) continue;
    const better = policy.goal === "max" ? score > won.score : score < won.score;
    check(!better, `child ${winner} has won with ${won.score}, and child ${index} has ${score}`);
  }
}

/** Rows and living nodes say the same, and neither has what nobody wants. */
function checkLeftOvers({ store, nodes, gone }: Ended): void {
  for (const [nodeId, node] of nodes) {
    for (const [sandboxId, { state }] of node.held) {
      const row = store.sandboxes.get(sandboxId);
      // Of a node that was given up, rows are failed; what stopped there stays where it is until its owner deletes it.
      const agrees = row !== undefined && (row.state === state || (row.state === "failed" && state === "stopped"));
      check(agrees, `${nodeId} holds ${sandboxId}, ${state}; its row: ${row?.state ?? "none"}`);
    }
  }
  for (const row of store.sandboxes.values()) {
    if (gone.has(row.nodeId)) continue;
    check(row.state !== "deleting", `${row.id} is still being deleted`);
    if (row.state !== "running" && row.state !== "stopped") continue;
    check(nodes.get(row.nodeId)?.held.has(row.id) === true, `the row of ${row.id} is ${row.state}, and ${row.nodeId} does not have it`);
    checkWanted(store, row);
  }
}

function checkWanted(store: SimStore, { id, forkId, index, state }: SandboxRow): void {
  const fork = store.forks.get(forkId);
  const child = store.children.get(forkId)?.get(index);
  check(fork !== undefined && child !== undefined, `${id} belongs to nobody`);
  check(!fork.deletesAll, `${id} is ${state}, though all of ${forkId} was to be deleted`);
  const { policy, losers, after } = fork.spec;
  const isLoser = policy.kind !== "all" && fork.state === "done" && losers === "delete" && fork.winner !== index;
  check(!isLoser, `${id} is ${state}, a loser that was to be deleted`);
  check(child.sandboxId === id, `${id} is ${state}, an attempt of child ${index} that does not count`);
  check(child.state !== "cancelled", `${id} is ${state}, and its child was cancelled`);
  check(after !== "delete" || child.state !== "succeeded", `${id} is ${state}, and was to be deleted after its command`);
}
