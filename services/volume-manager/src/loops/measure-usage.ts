import { isFault } from "@banyan/contracts";
import { backendVolume } from "../backend-volume.ts";
import type { Context } from "../context.ts";
import { claimUnmeasured, claimUnmeasuredVersion, unclaimVersion } from "../store/find-unmeasured.ts";
import { findVolumeById } from "../store/find-volume.ts";
import { postponeMeasure, recordUsage, recordVersionUsage } from "../store/record-usage.ts";
import type { VersionRow, VolumeRow } from "../store/schema.ts";

const BATCH_MAX = 20;
/** A walk takes no more than this share of the time. */
const REST_FACTOR = 20;
/** Longer than any walk may take: whoever claims a volume measures it alone. */
const CLAIM_MS = 65 * 60_000;

/** One after the other, for a walk keeps the store busy. True: more is due. */
export async function measureUsage(ctx: Context, signal: AbortSignal): Promise<boolean> {
  const { db, clock, holder } = ctx;
  const until = (): Date => new Date(clock.now() + CLAIM_MS);
  for (let measured = 0; measured < BATCH_MAX; measured++) {
    const row = await claimUnmeasured(db, clock.now(), until());
    if (row !== null) await measureVolume(ctx, row, signal);
    const version = await claimUnmeasuredVersion(db, holder, clock.now(), until());
    if (version !== null) await measureVersion(ctx, version, signal);
    if (row === null && version === null) return false;
  }
  return true;
}

async function measureVolume(ctx: Context, row: VolumeRow, signal: AbortSignal): Promise<void> {
  const { db, clock, config, backends, secretKey, logger } = ctx;
  const volume = backendVolume(row, secretKey);
  const fromMs = clock.monotonicMs();
  try {
    const backend = backends.reaching(row);
    // A change of the quota that the store was not there for.
    await backend.setQuota(volume);
    const measured = await backend.usage(volume, null, signal);
    const restMs = Math.max(config.usageEveryMs, (clock.monotonicMs() - fromMs) * REST_FACTOR);
    await recordUsage(db, row.id, measured, new Date(clock.now()), new Date(clock.now() + restMs));
  } catch (err) {
    if (signal.aborted) {
      await postponeMeasure(db, row.id, new Date(clock.now()));
      throw err;
    }
    logger.debug({ err, volumeId: row.id }, "a volume could not be measured");
    await postponeMeasure(db, row.id, new Date(clock.now() + config.usageEveryMs));
  }
}

async function measureVersion(ctx: Context, row: VersionRow, signal: AbortSignal): Promise<void> {
  const { db, clock, backends, secretKey, holder, logger } = ctx;
  const volume = await findVolumeById(db, row.volumeId);
  if (volume === null) return;
  let measured = { bytes: null as number | null, files: null as number | null };
  try {
    measured = await backends.reaching(volume).usage(backendVolume(volume, secretKey), row.id, signal);
  } catch (err) {
    if (signal.aborted || isFault(err, "volume.unreachable")) {
      await unclaimVersion(db, row.id, holder);
      throw err;
    }
    logger.debug({ err, versionId: row.id }, "a version could not be measured");
  }
  await recordVersionUsage(db, row.id, measured, new Date(clock.now()));
}
