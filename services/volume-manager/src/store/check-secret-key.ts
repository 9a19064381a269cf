import { fault } from "@banyan/contracts";
import type { Database, Transaction } from "@banyan/db";
import { and, desc, isNotNull, ne, sql } from "drizzle-orm";
import { openRemote } from "../domain/remote.ts";
import { fingerprintOf } from "../domain/secret-key.ts";
import { secretKeys, volumes } from "./schema.ts";

/** Throws where the secrets on record were sealed with another key: it says so at the start, not when somebody mounts. */
export function checkSecretKey(db: Database, secretKey: string): Promise<void> {
  return db.transaction(async (tx) => {
    const known = await lockKey(tx);
    const sealed = and(isNotNull(volumes.secretsSealed), ne(volumes.state, "deleted"));
    const [newest] = await tx.select().from(volumes).where(sealed).orderBy(desc(volumes.id)).limit(1);
    if (newest === undefined) return;
    const given = fingerprintOf(secretKey);
    // What was sealed before there were fingerprints is opened instead.
    const fits = known === null ? opens(newest, secretKey) : known === given;
    if (!fits) throw otherKey(known, given);
    if (known === null) await tx.insert(secretKeys).values({ fingerprint: given });
  });
}

/** With a volume that is the first to have secrets, its key becomes the cluster's. Throws where that is another one. */
export async function holdSecretKey(tx: Transaction, secretKey: string): Promise<void> {
  const known = await lockKey(tx);
  const given = fingerprintOf(secretKey);
  if (known === given) return;
  const sealed = and(isNotNull(volumes.secretsSealed), ne(volumes.state, "deleted"));
  const [other] = await tx.select({ id: volumes.id }).from(volumes).where(sealed).limit(1);
  if (other !== undefined) throw otherKey(known, given);
  await tx.delete(secretKeys);
  await tx.insert(secretKeys).values({ fingerprint: given });
}

async function lockKey(tx: Transaction): Promise<string | null> {
  await tx.execute(sql`select pg_advisory_xact_lock(hashtextextended(current_schema() || ' secret key', 0))`);
  const [row] = await tx.select().from(secretKeys);
  return row?.fingerprint ?? null;
}

function opens({ id, remote, secretsSealed }: typeof volumes.$inferSelect, secretKey: string): boolean {
  if (remote === null || secretsSealed === null) return true;
  try {
    openRemote({ id, remote, secretsSealed }, secretKey);
    return true;
  } catch {
    return false;
  }
}

function otherKey(known: string | null, given: string): Error {
  const theirs = known === null ? "another key" : `the key ${known}`;
  return fault(
    "internal",
    { known, given },
    {
      message: `The secrets of object volumes on record were sealed with ${theirs}, and the key here is ${given}: give every volume-manager of the cluster the same BANYAN_SECRET_KEY (without it, that is what lies in secret.key of the data directory).`,
    },
  );
}
