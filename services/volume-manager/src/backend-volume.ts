import type { BackendVolume } from "./backends/port.ts";
import { openRemote } from "./domain/remote.ts";
import type { VolumeRow } from "./store/schema.ts";

/** A row as its backend knows it; of an object volume with its secrets, which are in no row. */
export function backendVolume({ id, quotaMb, remote, secretsSealed }: VolumeRow, secretKey: string): BackendVolume {
  if (remote === null || secretsSealed === null) return { id, quotaMb, remote: null };
  return { id, quotaMb, remote: openRemote({ id, remote, secretsSealed }, secretKey) };
}
