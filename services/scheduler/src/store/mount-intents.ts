import type { Database } from "@banyan/db";
import type { MountIntent } from "../domain/mount-intent.ts";

/** Before the node is asked. There is one at a time for each sandbox: an earlier one is settled first. */
export async function saveMountIntent({ sql }: Database, { sandboxId, epoch, kind, mount, force }: MountIntent): Promise<void> {
  const text = JSON.stringify(mount);
  await sql`
    insert into mount_intents (sandbox_id, epoch, kind, mount, force) values (${sandboxId}, ${epoch}, ${kind}, ${text}::text::jsonb, ${force})
    on conflict (sandbox_id) do update set epoch = excluded.epoch, kind = excluded.kind, mount = excluded.mount, force = excluded.force`;
}

export async function readMountIntent({ sql }: Database, sandboxId: string): Promise<MountIntent | null> {
  const [found] = await sql<MountIntent[]>`
    select sandbox_id as "sandboxId", epoch, kind, mount, force from mount_intents where sandbox_id = ${sandboxId}`;
  return found ?? null;
}

/** The sandboxes that have one, from `after` on. */
export async function listMountIntents({ sql }: Database, after: string, limit: number): Promise<string[]> {
  const rows = await sql<
    { id: string }[]
  >`select sandbox_id as id from mount_intents where sandbox_id > ${after} order by sandbox_id limit ${limit}`;
  return rows.map(({ id }) => id);
}

export async function removeMountIntent({ sql }: Database, sandboxId: string): Promise<void> {
  await sql`delete from mount_intents where sandbox_id = ${sandboxId}`;
}
