import { fault } from "@banyan/contracts";
import { type Database, translate } from "@banyan/db";
import type { Clock } from "@banyan/kernel";
import { sql } from "drizzle-orm";

export interface HoldDeps {
  db: Database;
  clock: Clock;
  /** Of this process. */
  holder: string;
}

/** Of a process that ended: whoever sends comes back once and finds it free. */
const LEASE_MS = 6_000;
const RENEW_EVERY_MS = 1_500;
const LOOK_EVERY_MS = 50;
const WAIT_MS = 5_000;
const RETRY_AFTER_MS = 1_000;

/** Has one process at a time work on an upload, whichever of them its parts are sent to. Throws volume.unreachable where another one goes on for long. */
export async function holdUpload<T>(deps: HoldDeps, uploadId: string, work: () => Promise<T>): Promise<T> {
  const { clock } = deps;
  const endsMs = clock.monotonicMs() + WAIT_MS;
  while (!(await take(deps, uploadId))) {
    if (clock.monotonicMs() >= endsMs)
      throw fault("volume.unreachable", { uploadId, retryAfterMs: RETRY_AFTER_MS }, { message: "Somebody else is at work on the upload." });
    await clock.sleep(LOOK_EVERY_MS);
  }
  const renewing = setInterval(() => void take(deps, uploadId).catch(() => {}), RENEW_EVERY_MS);
  try {
    return await work();
  } finally {
    clearInterval(renewing);
    // If it is not heard, the lease runs out.
    await release(deps, uploadId).catch(() => {});
  }
}

async function take({ db, clock, holder }: HoldDeps, uploadId: string): Promise<boolean> {
  const now = new Date(clock.now()).toISOString();
  const until = new Date(clock.now() + LEASE_MS).toISOString();
  const rows = await translate(async () =>
    db.orm.execute(sql`
      insert into upload_holds (upload_id, holder, lease_until) values (${uploadId}, ${holder}, ${until})
      on conflict (upload_id) do update set holder = excluded.holder, lease_until = excluded.lease_until
      where upload_holds.lease_until < ${now} or upload_holds.holder = excluded.holder
      returning upload_id`),
  );
  return rows.length > 0;
}

async function release({ db, holder }: HoldDeps, uploadId: string): Promise<void> {
  await translate(async () => db.orm.execute(sql`delete from upload_holds where upload_id = ${uploadId} and holder = ${holder}`));
}
