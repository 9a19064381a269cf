import type { Work } from "../backends/port.ts";
import type { WorkContext } from "../context.ts";
import type { WorkTable } from "../store/claim-work.ts";
import { findVersionById } from "../store/find-version.ts";
import { findVolumeById } from "../store/find-volume.ts";
import { versionDeed } from "./version-deed.ts";
import { volumeDeed } from "./volume-deed.ts";

/** What a row that is unfinished asks for. */
export interface Deed {
  row: { id: string; attempts: number; failures: number; state: string };
  /** It is repeated until it is done, whatever it fails of. */
  isRemoval: boolean;
  /** What has not been done by then has failed, though what it waits for may still come. */
  dueBy?: number;
  carryOut(work: Work): Promise<void>;
  /** False: the row has moved on meanwhile. */
  done(): Promise<boolean>;
  failed(reason: string): Promise<void>;
}

/** Null: the row asks for nothing. */
export async function findDeed(ctx: WorkContext, table: WorkTable, id: string): Promise<Deed | null> {
  if (table === "volumes") {
    const row = await findVolumeById(ctx.db, id);
    return row === null ? null : volumeDeed(ctx, row);
  }
  const version = await findVersionById(ctx.db, id);
  return version === null ? null : versionDeed(ctx, version);
}
