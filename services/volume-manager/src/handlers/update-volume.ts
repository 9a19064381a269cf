import { fault, type InputOf, UpdateVolume } from "@banyan/contracts";
import { backendVolume } from "../backend-volume.ts";
import { type Context, handle } from "../context.ts";
import { mergeLabels } from "../domain/labels.ts";
import { getVolume } from "../store/find-volume.ts";
import type { VolumeRow } from "../store/schema.ts";
import { type Settings, updateVolume } from "../store/update-volume.ts";
import { volumeView } from "../store/views.ts";

const TRIES_MAX = 5;
const RETRY_AFTER_MS = 500;

export const updateVolumeByRef = handle(UpdateVolume, async (ctx, input) => {
  const row = await writeSettings(ctx, input);
  const backend = ctx.backends.of(row.backend);
  if (input.quotaMb !== undefined && row.state === "ready") {
    // Where the store is away the quota is set with the next measurement.
    await backend.setQuota(backendVolume(row, ctx.secretKey)).catch((err) => ctx.logger.warn({ err, volumeId: row.id }, "a quota waits"));
  }
  return { volume: volumeView(row, backend.capabilities()) };
});

async function writeSettings(ctx: Context, input: InputOf<typeof UpdateVolume>): Promise<VolumeRow> {
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    const before = await getVolume(ctx.db, input.orgId, input.volume);
    if (before.state === "deleting") throw fault("volume.not_ready", { volumeId: before.id, state: before.state });
    if (typeof input.quotaMb === "number" && ctx.backends.of(before.backend).capabilities().quota === "none") {
      throw fault("request.invalid", { issues: [`quota_mb: a volume of the backend \`${before.backend}\` has none`] });
    }
    const after = await updateVolume(ctx.db, before, settingsOf(input, before), new Date(ctx.clock.now()));
    if (after !== null) return after;
  }
  throw fault("database.unavailable", { retryAfterMs: RETRY_AFTER_MS }, { message: "Others change the volume at the same time." });
}

function settingsOf({ name, labels, quotaMb }: InputOf<typeof UpdateVolume>, before: VolumeRow): Settings {
  const settings: Settings = {};
  if (name !== undefined) settings.name = name;
  if (quotaMb !== undefined) settings.quotaMb = quotaMb;
  if (labels !== undefined) {
    const merged = mergeLabels(before.labels, labels);
    if ("issue" in merged) throw fault("request.invalid", { issues: [merged.issue] });
    settings.labels = merged.labels;
  }
  return settings;
}
