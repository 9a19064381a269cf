import type { Database } from "@banyan/db";
import type { Clock } from "@banyan/kernel";
import { purgeIdempotencyKeys } from "../store/purge-idempotency-keys.ts";

export const PURGE_EVERY_MS = 60_000;
export const IDEMPOTENCY_KEPT_MS = 24 * 3_600_000;
const BATCH_MAX = 5_000;
const BATCHES_PER_ROUND_MAX = 20;

/** Removes what is older than a day, in batches small enough never to hold a lock for long. */
export async function purgeOldKeys(db: Database, clock: Clock): Promise<void> {
  const before = clock.now() - IDEMPOTENCY_KEPT_MS;
  for (let batch = 0; batch < BATCHES_PER_ROUND_MAX; batch++) {
    if ((await purgeIdempotencyKeys(db, before, BATCH_MAX)) < BATCH_MAX) return;
  }
}
