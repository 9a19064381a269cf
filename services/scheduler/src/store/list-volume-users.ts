import type { InputOf, ListVolumeUsers, OutputOf } from "@banyan/contracts";
import type { Database } from "@banyan/db";
import { mergeUsers } from "../domain/volume-users.ts";

const NAMED_MAX = 100;

type Users = OutputOf<typeof ListVolumeUsers>;
type User = Users["users"][number];
type Found = Omit<User, "mayRun"> & { mayRun: boolean; total: number };

/**
 * Mounts of this volume, of any organisation; those that are being made in a run among them. Children that a fork has still to make count as one, by
 * what they will have.
 */
export async function listVolumeUsers(
  { sql }: Database,
  { volumeId, versionId }: InputOf<typeof ListVolumeUsers>,
): Promise<OutputOf<typeof ListVolumeUsers>> {
  const mount = JSON.stringify(versionId === null ? { volume: volumeId } : { volume: volumeId, version: versionId });
  const [found, opened, forks] = await Promise.all([
    // The index holds only those that have volumes. What a lost node had may go on there, and is here again when it is.
    sql<Found[]>`
      select id as "sandboxId", state, mount->>'path' as path, mount->>'mode' as mode, mount->>'version' as "versionId",
        state = 'failed' and state_reason is not distinct from 'node_lost' as "mayRun", count(*) over ()::int as total
      from sandboxes, jsonb_array_elements(spec->'volumes') as mount
      where state <> 'deleted' and spec->'volumes' <> '[]'::jsonb and spec->'volumes' @> jsonb_build_array(${mount}::text::jsonb)
        and mount @> ${mount}::text::jsonb
      order by state = 'stopped' or (state = 'failed' and state_reason is distinct from 'node_lost'), id desc, path limit ${NAMED_MAX}`,
    sql<Omit<User, "mayRun">[]>`
      select id as "sandboxId", state, mount->>'path' as path, mount->>'mode' as mode, mount->>'version' as "versionId"
      from mount_intents join sandboxes on id = sandbox_id
      where kind = 'mount' and mount @> ${mount}::text::jsonb and state <> 'deleted' order by id desc limit ${NAMED_MAX}`,
    sql<{ count: number }[]>`
      select count(*)::int as count from forks
      where ended_at is null and template->'volumes' @> jsonb_build_array(${mount}::text::jsonb)`,
  ]);
  const users = found.map(({ total: _total, mayRun, ...user }): User => (mayRun ? { ...user, mayRun } : user));
  const forkCount = forks[0]?.count ?? 0;
  return mergeUsers({ users, forks: forkCount, total: (found[0]?.total ?? 0) + forkCount }, { users: opened, forks: 0 });
}
