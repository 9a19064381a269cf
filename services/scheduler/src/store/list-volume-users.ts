import type { InputOf, ListVolumeUsers, OutputOf } from "@banyan/contracts";
import type { Database } from "@banyan/db";

const NAMED_MAX = 100;

type User = OutputOf<typeof ListVolumeUsers>["users"][number];

/** Mounts of this volume, of any organisation. Children that a fork has still to make count as one, by what they will have. */
export async function listVolumeUsers(
  { sql }: Database,
  { volumeId, versionId }: InputOf<typeof ListVolumeUsers>,
): Promise<OutputOf<typeof ListVolumeUsers>> {
  const mount = JSON.stringify(versionId === null ? { volume: volumeId } : { volume: volumeId, version: versionId });
  const [found, forks] = await Promise.all([
    // The index holds only those that have volumes.
    sql<(User & { total: number })[]>`
      select id as "sandboxId", state, mount->>'path' as path, mount->>'mode' as mode, mount->>'version' as "versionId", count(*) over ()::int as total
      from sandboxes, jsonb_array_elements(spec->'volumes') as mount
      where state <> 'deleted' and spec->'volumes' <> '[]'::jsonb and spec->'volumes' @> jsonb_build_array(${mount}::text::jsonb)
        and mount @> ${mount}::text::jsonb
      order by state in ('stopped', 'failed'), id desc, path limit ${NAMED_MAX}`,
    sql<{ count: number }[]>`
      select count(*)::int as count from forks
      where ended_at is null and template->'volumes' @> jsonb_build_array(${mount}::text::jsonb)`,
  ]);
  const users = found.map(({ total: _total, ...user }) => user);
  const forkCount = forks[0]?.count ?? 0;
  return { users, forks: forkCount, total: (found[0]?.total ?? 0) + forkCount };
}
