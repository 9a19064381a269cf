import { VolumeChanged } from "@banyan/contracts";
import type { Context } from "../context.ts";
import { readOutbox, removeSaid } from "../store/read-outbox.ts";

const BATCH_MAX = 200;

/** Outbox to stream: at least once, in order for each volume; the stream drops what it has already. */
export async function sayChanges({ bus, db }: Context): Promise<boolean> {
  const said = await readOutbox(db, BATCH_MAX);
  for (const { dedupeId, event } of said) await bus.emit(VolumeChanged, event.volumeId, event, { dedupeId });
  await removeSaid(
    db,
    said.map(({ seq }) => seq),
  );
  return said.length === BATCH_MAX;
}
