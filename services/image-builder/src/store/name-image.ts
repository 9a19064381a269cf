import type { Transaction } from "@banyan/db";
import { sql } from "drizzle-orm";
import { imageNames } from "./schema.ts";

/** Takes each name from whichever image had it in this organisation. */
export async function nameImage(
  tx: Pick<Transaction, "execute">,
  image: { id: string; orgId: string | null },
  names: readonly string[],
  at: Date,
): Promise<void> {
  for (const name of names) {
    await tx.execute(sql`
      insert into ${imageNames} (org_id, name, image_id, named_at)
      values (${image.orgId}, ${name}, ${image.id}, ${at.toISOString()})
      on conflict (coalesce(org_id, ''), name) do update set image_id = excluded.image_id, named_at = excluded.named_at`);
  }
}
