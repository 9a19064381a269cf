import { backendVolume } from "../backend-volume.ts";
import type { Context } from "../context.ts";
import { findUnmeasured, findUnmeasuredVersions } from "../store/find-unmeasured.ts";
import { findVolumeById } from "../store/find-volume.ts";
import { postponeMeasure, recordUsage, recordVersionUsage } from "../store/record-usage.ts";
import type { VersionRow, VolumeRow } from "../store/schema.ts";

const BATCH_MAX = 20;
/** A walk takes no more than this share of the time. */
const REST_FACTOR = 20;

/** One after the other, for a walk keeps the store busy. True: more is due. */
export async function measureUsage(ctx: Context, signal: AbortSignal): Promise<boolean> {
  const due = await findUnmeasured(ctx.db, ctx.clock.now(), BATCH_MAX);
  for (const row of due) await measureVolume(ctx, row, signal);
  const versions = await findUnmeasuredVersions(ctx.db, BATCH_MAX);
  for (const row of versions) await measureVersion(ctx, row, signal);
  return due.length === BATCH_MAX || versions.length === BATCH_MAX;
}

async function measureVolume(ctx: Context, row: VolumeRow, signal: AbortSignal): Promise<void> {
  const { db, clock, config, backends, secretKey, logger } = ctx;
  const backend = backends.of(row.backend);
  const volume = backendVolume(row, secretKey);
  const fromMs = clock.monotonicMs();
  try {
    // A change of the quota that the store was not there for.
    await backend.setQuota(volume);
    const measured = await backend.usage(volume, null, signal);
    const restMs = Math.max(config.usageEveryMs, (clock.monotonicMs() - fromMs) * REST_FACTOR);
    await recordUsage(db, row.id, measured, new Date(clock.now()), new Date(clock.now() + restMs));
  } catch (err) {
    if (signal.aborted) throw err;
    logger.debug({ err, volumeId: row.id }, "a volume could not be measured");
    await postponeMeasure(db, row.id, new Date(clock.now() + config.usageEveryMs));
  }
}

async function measureVersion(ctx: Context, row: VersionRow, signal: AbortSignal): Promise<void> {
  const { db, clock, backends, secretKey, logger } = ctx;
  const volume = await findVolumeById(db, row.volumeId);
  if (volume === null) return;
  let measured = { bytes: null as number | null, files: null as number | null };
  try {
    measured = await backends.of(volume.backend).usage(backendVolume(volume, secretKey), row.id, signal);
  } catch (err) {
    if (signal.aborted || backends.of(volume.backend).state().state === "lost") throw err;
    logger.debug({ err, versionId: row.id }, "a version could not be measured");
  }
  await recordVersionUsage(db, row.id, measured, new Date(clock.now()));
}
