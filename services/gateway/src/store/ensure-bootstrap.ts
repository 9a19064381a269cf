import type { Quota } from "@banyan/contracts";
import { type Database, translate } from "@banyan/db";
import { newId } from "@banyan/kernel";
import { eq, sql } from "drizzle-orm";
import { hashKey, keyHint } from "../domain/api-key.ts";
import { apiKeys, organisations } from "./schema.ts";

const DEFAULT_ORGANISATION = "default";

export interface Bootstrap {
  quota: Quota;
  /** The operator's word: this admin key works after every start, even one that was revoked. */
  key: string | null;
  now: number;
}

/** The organisation `default` and its first admin key exist; several gateways may start at once. */
export function ensureBootstrap(db: Database, { quota, key, now }: Bootstrap): Promise<void> {
  return translate(async () => {
    const createdAt = new Date(now);
    await db.orm
      .insert(organisations)
      .values({ id: newId("org"), name: DEFAULT_ORGANISATION, quota, createdAt })
      .onConflictDoNothing({ target: organisations.name });
    if (key === null) return;
    const [organisation] = await db.orm.select().from(organisations).where(eq(organisations.name, DEFAULT_ORGANISATION));
    if (!organisation) throw new Error("the default organisation vanished while it was made");
    await db.orm
      .insert(apiKeys)
      .values({
        id: newId("key"),
        organisationId: organisation.id,
        name: "bootstrap",
        role: "admin",
        hint: keyHint(key),
        hash: hashKey(key),
        createdAt,
      })
      .onConflictDoUpdate({ target: apiKeys.hash, set: { revokedAt: sql`null`, role: "admin" } });
  });
}
