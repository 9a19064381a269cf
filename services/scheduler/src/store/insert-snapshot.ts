import type { Database } from "@banyan/db";
import { type Snapshot, snapshots } from "./schema.ts";

export async function insertSnapshot({ orm }: Database, snapshot: Snapshot): Promise<void> {
  await orm.insert(snapshots).values(snapshot).onConflictDoNothing();
}
