import { fault } from "@banyan/contracts";
import type { Database } from "@banyan/db";
import { backendVolume } from "../backend-volume.ts";
import type { Backends } from "../backends/backends.ts";
import { quotaLeftBytes } from "../domain/quota.ts";
import { getVersion } from "../store/find-version.ts";
import { getVolume } from "../store/find-volume.ts";

export interface PlaceDeps {
  db: Database;
  backends: Backends;
  secretKey: string;
}

/** Where the content of a volume, or of one of its versions, lies on this host; as of one request. */
export interface Place {
  volumeId: string;
  orgId: string;
  versionId: string | null;
  /** Goes up when other files take the place of these. */
  epoch: number;
  directory: string;
  /** What may still be written as of the last measurement; null: the filesystem itself says. */
  leftBytes: number | null;
  /** In a store of objects a rename moves every byte. */
  isRenameCostly: boolean;
}

export interface PlaceRef {
  orgId: string;
  volumeId: string;
  /** A name or id; null: the content as it is. */
  version: string | null;
}

/** Throws volume.not_found, volume.version_not_found, volume.not_ready, volume.unsupported, volume.unreachable. */
export async function findPlace({ db, backends, secretKey }: PlaceDeps, { orgId, volumeId, version }: PlaceRef): Promise<Place> {
  const row = await getVolume(db, orgId, volumeId);
  const versionRow = version === null ? null : await getVersion(db, row.id, version);
  // A version stays readable while its volume is put back to another one, but not while both go.
  const { state } = versionRow !== null && row.state !== "deleting" ? versionRow : row;
  if (state !== "ready") throw fault("volume.not_ready", { volumeId: row.id, version, state, retryAfterMs: 1_000 });
  const backend = backends.reaching(row);
  return {
    volumeId: row.id,
    orgId,
    versionId: versionRow?.id ?? null,
    epoch: versionRow === null ? row.contentEpoch : 0,
    directory: await backend.open(backendVolume(row, secretKey), versionRow?.id ?? null),
    leftBytes: quotaLeftBytes(row, backend.capabilities().quota),
    isRenameCostly: backend.kind === "object",
  };
}
