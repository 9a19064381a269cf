import type { LayerRef } from "@banyan/contracts";
import type { Transaction } from "@banyan/db";
import { sql } from "drizzle-orm";
import { layers as table } from "./schema.ts";

/** These are in the blob store now. */
export async function noteLayers(on: Pick<Transaction, "insert">, layers: readonly LayerRef[], at: Date): Promise<void> {
  if (layers.length === 0) return;
  const rows = new Map(layers.map((layer) => [layer.digest, { ...layer, putAt: at }]));
  // In one order, so that two who note the same layers wait for each other and do not block each other.
  const inOrder = [...rows.values()].toSorted((a, b) => (a.digest < b.digest ? -1 : 1));
  await on
    .insert(table)
    .values(inOrder)
    .onConflictDoUpdate({ target: table.digest, set: { putAt: at, sizeBytes: sql`greatest(${table.sizeBytes}, excluded.size_bytes)` } });
}
