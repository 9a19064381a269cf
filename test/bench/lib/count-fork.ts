import { type ForkChildState, type ForkCounts, GetFork, ListForkChildren } from "@banyan/contracts";
import postgres from "postgres";
import type { StubCluster } from "./stub-cluster.ts";

const PAGE = 1_000;

/** What is wrong with a fork that has ended; all zero: each child was started once, runs where its row says, and nothing else is left. */
export interface Account {
  counts: ForkCounts;
  /** Indices that are in no state or in two, or not in the one they should have come to. */
  unaccounted: number;
  /** Sandboxes that two children share, or two nodes hold. */
  doubled: number;
  /** Children that were not started where their row says. */
  missing: number;
  /** Sandboxes that a living node holds and no child owns. */
  leftOver: number;
  /** Running children and running rows that differ. */
  rowsOff: number;
  /** Orders that came again for what ran already; no fault. */
  repeated: number;
}

export const faultsOf = ({ unaccounted, doubled, missing, leftOver, rowsOff }: Account): number =>
  unaccounted + doubled + missing + leftOver + rowsOff;

/** Compares the fork as its owner sees it, the rows, and what the nodes were told. */
export async function countFork(cluster: StubCluster, ref: { orgId: string; forkId: string }, expected: ForkChildState): Promise<Account> {
  const { fork } = await cluster.bus.call(GetFork, ref);
  const seen = new Set<number>();
  const places = new Map<string, string>();
  let unaccounted = 0;
  let doubled = 0;
  for (let after: number | null = -1; after !== null; ) {
    const page: {
      children: { index: number; state: string; sandboxId: string | null; nodeId: string | null }[];
      nextAfter: number | null;
    } = await cluster.bus.call(ListForkChildren, { ...ref, after, limit: PAGE, states: [] });
    for (const { index, state, sandboxId, nodeId } of page.children) {
      if (seen.has(index) || state !== expected || sandboxId === null || nodeId === null) {
        unaccounted++;
      } else {
        if (places.has(sandboxId)) doubled++;
        places.set(sandboxId, nodeId);
      }
      seen.add(index);
    }
    after = page.nextAfter;
  }
  unaccounted += fork.spec.count - seen.size;

  const held = new Map<string, string>();
  let leftOver = 0;
  let repeated = 0;
  for (const process of cluster.processes) {
    const report = await process.report();
    repeated += report.repeated;
    for (const [nodeId, sandboxIds] of report.held) {
      for (const sandboxId of sandboxIds) {
        if (held.has(sandboxId)) doubled++;
        held.set(sandboxId, nodeId);
        // What a node that is gone had does not run any more.
        if (process.running && places.get(sandboxId) !== nodeId) leftOver++;
      }
    }
  }
  const missing = [...places].filter(([sandboxId, nodeId]) => held.get(sandboxId) !== nodeId).length;
  return { counts: fork.counts, unaccounted, doubled, missing, leftOver, rowsOff: await rowsOff(cluster, places), repeated };
}

/** A row that failed is of a node that was given up after its fork had ended. */
async function rowsOff({ databaseUrl, schema }: StubCluster, places: ReadonlyMap<string, string>): Promise<number> {
  const sql = postgres(databaseUrl, { max: 1, fetch_types: false, connection: { search_path: schema }, onnotice: () => {} });
  try {
    const rows = await sql<{ id: string; node_id: string }[]>`select id, node_id from sandboxes where state in ('running', 'failed')`;
    const wrong = rows.filter(({ id, node_id }) => places.get(id) !== node_id).length;
    return wrong + Math.abs(rows.length - places.size);
  } finally {
    await sql.end();
  }
}
