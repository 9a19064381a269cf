import { CreateVolume, fault, type InputOf, OBJECT_STORE } from "@banyan/contracts";
import type { VolumeBackend } from "../backends/port.ts";
import { type Context, handle } from "../context.ts";
import { newWork } from "../domain/new-work.ts";
import { sealSecrets } from "../domain/remote.ts";
import { getVersion } from "../store/find-version.ts";
import { findVolume, findVolumeById, getVolume } from "../store/find-volume.ts";
import { insertVolume } from "../store/insert-volume.ts";
import { moveVolume } from "../store/move-volume.ts";
import type { VersionRow, VolumeRow } from "../store/schema.ts";
import { volumeView } from "../store/views.ts";
import { workOff } from "./work-off.ts";

type Input = InputOf<typeof CreateVolume>;

/** The row first: what becomes of the files follows from it, whoever carries it out. */
export const createVolume = handle(CreateVolume, async (ctx, input) => {
  const { db, said } = ctx;
  const earlier = await findVolume(db, input.orgId, input.volumeId);
  if (earlier !== null) return { volume: viewOf(ctx, earlier) };
  const origin = await originOf(ctx, input);
  const kind = origin === null ? input.backend.kind : origin.volume.backend;
  const backend = ctx.backends.of(kind);
  if (origin !== null && !backend.capabilities().forks) throw fault("volume.unsupported", { backend: kind, operation: "fork" });
  if (input.quotaMb !== null && backend.capabilities().quota === "none")
    throw fault("volume.unsupported", { backend: kind, operation: "quota" });
  const inserted = await insertVolume(db, newRow(ctx, input, { kind, backend, origin }), ctx.secretKey);
  const row = inserted ?? (await findVolume(db, input.orgId, input.volumeId));
  if (row === null)
    throw fault("volume.name_taken", { volumeId: input.volumeId }, { message: "Another organisation's volume has this id." });
  said();
  if (inserted !== null) await workOff(ctx, "volumes", inserted).catch((error) => discard(ctx, inserted.id, error));
  return { volume: viewOf(ctx, (await findVolumeById(db, row.id)) ?? row) };
});

/** Who asked for it is told why there is none; it does not stay in the way of another of its name. */
async function discard({ db, clock }: Context, id: string, error: unknown): Promise<never> {
  const row = await findVolumeById(db, id);
  const now = new Date(clock.now());
  if (row?.state === "failed") await moveVolume(db, row, "delete", { at: now, dueAt: now });
  throw error;
}

const viewOf = ({ backends }: Context, row: VolumeRow) => volumeView(row, backends.of(row.backend).capabilities());

interface Origin {
  volume: VolumeRow;
  version: VersionRow | null;
}

async function originOf({ db }: Context, { orgId, from }: Input): Promise<Origin | null> {
  if (from === null) return null;
  const volume = await getVolume(db, orgId, from.volume);
  const version = from.versionId === null ? null : await getVersion(db, volume.id, from.versionId);
  const isReady = volume.state === "ready" && (version === null || (version.state === "ready" && version.closing === null));
  if (!isReady) throw fault("volume.not_ready", { volumeId: volume.id, state: version?.state ?? volume.state, retryAfterMs: 1_000 });
  return { volume, version };
}

interface Choice {
  kind: VolumeRow["backend"];
  backend: VolumeBackend;
  origin: Origin | null;
}

function newRow({ clock, secretKey }: Context, input: Input, { kind, backend, origin }: Choice): VolumeRow {
  const now = new Date(clock.now());
  const remote = input.backend.kind === "object" ? input.backend.remote : null;
  return {
    ...newWork(now),
    id: input.volumeId,
    orgId: input.orgId,
    name: input.name,
    labels: input.labels,
    state: "creating",
    backend: kind,
    store: kind === "object" ? OBJECT_STORE : backend.storeId(),
    remote: remote && { type: remote.type, path: remote.path, options: remote.options },
    secretsSealed: remote && sealSecrets(remote, input.volumeId, secretKey),
    quotaMb: input.quotaMb,
    originVolumeId: origin?.volume.id ?? null,
    originVersionId: origin?.version?.id ?? null,
    restoreVersionId: null,
    contentEpoch: 1,
    measureDueAt: now,
    isCopy: origin !== null && !backend.capabilities().sharesBlocks,
  };
}
