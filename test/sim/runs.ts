import { check } from "./invariants.ts";

/** One start of one sandbox on one node, as it truly was. */
export interface Run {
  forkId: string;
  index: number;
  sandboxId: string;
  nodeId: string;
  from: number;
  live: boolean;
  /** Undefined: its command has not ended. */
  exitCode?: number | null;
  /** When its command ended, or it as a whole. */
  until?: number;
}

/** What truly ran, whatever anyone believes: what invariants are checked against. */
export class Runs {
  /** By sandbox, every start of it on any node. */
  readonly bySandbox = new Map<string, Run[]>();

  began({ at, ...run }: Pick<Run, "forkId" | "index" | "sandboxId" | "nodeId"> & { at: number }): void {
    const before = this.bySandbox.get(run.sandboxId) ?? [];
    check(before.length === 0, `${run.sandboxId}, child ${run.index} of ${run.forkId}, is started twice, on ${run.nodeId} at last`);
    this.bySandbox.set(run.sandboxId, [...before, { ...run, from: at, live: true }]);
  }

  /** Starts of one child, whatever its sandbox was called. */
  countOf(forkId: string, index: number): number {
    let count = 0;
    for (const runs of this.bySandbox.values()) count += runs.filter((run) => run.forkId === forkId && run.index === index).length;
    return count;
  }

  commandEnded(sandboxId: string, exitCode: number | null, at: number): void {
    const run = this.bySandbox.get(sandboxId)?.at(-1);
    if (run !== undefined) Object.assign(run, { exitCode, until: at });
  }

  ended(sandboxId: string, nodeId: string, at: number): void {
    for (const run of this.bySandbox.get(sandboxId) ?? [])
      if (run.nodeId === nodeId) Object.assign(run, { live: false, until: run.until ?? at });
  }
}
