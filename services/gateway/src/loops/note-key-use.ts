import type { Database } from "@banyan/db";
import type { Clock } from "@banyan/kernel";
import type { KeyRing } from "../auth/key-ring.ts";
import { touchKeys } from "../store/touch-keys.ts";

export const NOTE_KEY_USE_EVERY_MS = 10_000;

/** When a key was last used is written in batches, since nobody waits for it. A failed batch is lost, and the next use says it again. */
export async function noteKeyUse(db: Database, keyRing: KeyRing, clock: Clock): Promise<void> {
  const used = keyRing.takeUsed();
  if (used.length > 0) await touchKeys(db, used, clock.now());
}
