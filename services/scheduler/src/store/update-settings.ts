import type { Database } from "@banyan/db";
import type { Sandbox } from "../domain/sandbox.ts";

/** Labels, lifetime and mounts; not a change of state, so nothing is said. False where the row is no longer as `before`. */
export async function updateSettings({ sql }: Database, before: Sandbox, next: Sandbox): Promise<boolean> {
  const { labels, ...spec } = next.spec;
  const updated = await sql`
    update sandboxes set
      spec = ${JSON.stringify(spec)}::text::jsonb, labels = ${JSON.stringify(labels)}::text::jsonb, expires_at = ${next.expiresAt}, version = ${next.version}, updated_at = ${next.updatedAt}
    where id = ${before.id} and epoch = ${before.epoch} and version = ${before.version}
    returning id`;
  return updated.length > 0;
}
