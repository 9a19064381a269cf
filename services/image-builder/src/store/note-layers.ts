import type { LayerRef } from "@banyan/contracts";
import type { Transaction } from "@banyan/db";
import { layers as table } from "./schema.ts";

/** These are in the blob store now. */
export async function noteLayers(on: Pick<Transaction, "insert">, layers: readonly LayerRef[], at: Date): Promise<void> {
  if (layers.length === 0) return;
  const rows = [...new Map(layers.map((layer) => [layer.digest, { ...layer, putAt: at }])).values()];
  await on
    .insert(table)
    .values(rows)
    .onConflictDoUpdate({ target: table.digest, set: { putAt: at } });
}
