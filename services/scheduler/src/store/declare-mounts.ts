import type { Database } from "@banyan/db";
import type { Sandbox } from "../domain/sandbox.ts";

/** Writes which mounts a sandbox has from now on; with that nothing is open any more. False where the row is no longer as `before`. */
export async function declareMounts({ sql }: Database, before: Sandbox, next: Sandbox): Promise<boolean> {
  const { labels: _labels, ...spec } = next.spec;
  const declared = await sql`
    with declared as (
      update sandboxes set spec = ${JSON.stringify(spec)}::text::jsonb, version = ${next.version}, updated_at = ${next.updatedAt}
      where id = ${before.id} and epoch = ${before.epoch} and version = ${before.version}
      returning id
    ), settled as (
      delete from mount_intents using declared where sandbox_id = declared.id
    )
    select id from declared`;
  return declared.length > 0;
}
