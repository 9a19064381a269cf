import type { BuildEvent } from "@banyan/contracts";
import { type Database, type Transaction, translate } from "@banyan/db";
import { sql } from "drizzle-orm";
import { buildEvents, builds } from "./schema.ts";

export interface Happened {
  at: number;
  event: BuildEvent["event"];
}

/** Numbers events on from the build's last one: the row's lock keeps two writers from one number. False: this execution is not the present one. */
export async function appendEvents(
  on: Pick<Transaction, "execute">,
  build: { id: string; attempts: number },
  happened: readonly Happened[],
): Promise<boolean> {
  if (happened.length === 0) return true;
  const counted = await on.execute(sql`
    with build as (
      update ${builds} set events = events + ${happened.length}
      where id = ${build.id} and attempts = ${build.attempts} returning events - ${happened.length} as before
    )
    insert into ${buildEvents} (build_id, seq, at, event)
    select ${build.id}, build.before + entry.ordinality, (entry.value ->> 'at')::bigint, entry.value -> 'event'
    from build, jsonb_array_elements(${JSON.stringify(happened)}::jsonb) with ordinality entry
    returning seq`);
  return counted.length > 0;
}

/** The same outside of a transaction. */
export const writeEvents = (db: Database, build: { id: string; attempts: number }, happened: readonly Happened[]): Promise<boolean> =>
  translate(() => appendEvents(db.orm, build, happened));
