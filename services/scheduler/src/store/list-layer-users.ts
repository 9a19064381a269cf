import type { InputOf, ListLayerUsers, OutputOf } from "@banyan/contracts";
import type { Database } from "@banyan/db";

const NAMED_MAX = 100;

/**
 * Sandboxes in any state but deleted that were made of this image or stand on one of these layers, of any organisation. Children that a fork has
 * still to make count by what they will stand on.
 */
export async function listLayerUsers(
  { sql }: Database,
  { imageId, digests }: InputOf<typeof ListLayerUsers>,
): Promise<OutputOf<typeof ListLayerUsers>> {
  const asked = JSON.stringify(digests);
  const [users, used, forks] = await Promise.all([
    sql<{ id: string; count: number }[]>`
      select id, count(*) over ()::int as count from sandboxes
      where state <> 'deleted' and (
        stack->>'imageId' = ${imageId}::text
        or exists (select 1 from jsonb_array_elements(stack->'layers') as layer where ${asked}::text::jsonb ? (layer->>'digest'))
      )
      order by id desc limit ${NAMED_MAX}`,
    sql<{ digest: string }[]>`
      select distinct layer->>'digest' as digest from sandboxes, jsonb_array_elements(stack->'layers') as layer
      where state <> 'deleted' and ${asked}::text::jsonb ? (layer->>'digest')`,
    sql<{ digest: string }[]>`
      select distinct layer->>'digest' as digest
      from forks, jsonb_array_elements((forks.base->'layers') || coalesce(nullif(forks.base->'shipped', 'null'::jsonb), '[]'::jsonb)) as layer
      where ended_at is null and base is not null
        and (forks.base->>'imageId' = ${imageId}::text or ${asked}::text::jsonb ? (layer->>'digest'))`,
  ]);
  const wanted = new Set(digests);
  const usedDigests = new Set([...used, ...forks].map(({ digest }) => digest).filter((digest) => wanted.has(digest)));
  return {
    sandboxIds: users.map(({ id }) => id),
    count: (users[0]?.count ?? 0) + (forks.length > 0 ? 1 : 0),
    usedDigests: [...usedDigests],
  };
}
