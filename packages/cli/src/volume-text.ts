import type { FileInfo, SandboxInfo, VolumeInfo, VolumeUsers, VolumeVersion } from "@banyan/sdk";
import { ago, labelsText, properties, table } from "./print.ts";
import { printable } from "./progress.ts";

const UNITS = ["B", "KB", "MB", "GB", "TB", "PB"];

/** `3.4 GB`, in steps of 1024 as disks and quotas are counted here. */
export function bytesText(bytes: number | null): string {
  if (bytes === null) return "-";
  let value = bytes;
  let unit = 0;
  while (value >= 1023.95 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(value < 10 ? 2 : 1)} ${UNITS[unit]}`;
}

const quotaText = ({ quotaMb }: VolumeInfo): string => (quotaMb === null ? "none" : bytesText(quotaMb * 1024 ** 2));
const percent = (progress: number | null): string => (progress === null ? "" : ` ${Math.floor(progress * 100)} %`);
type Stated = Pick<VolumeInfo, "state" | "stateReason" | "progress">;
const shortState = ({ state, progress }: Stated): string => `${state}${percent(progress)}`;
const stateOf = (stated: Stated): string => `${shortState(stated)}${stated.stateReason === null ? "" : ` (${stated.stateReason})`}`;

export function volumesTable(volumes: readonly VolumeInfo[], now: number): string {
  const rows = volumes.map((volume) => [
    volume.id,
    volume.name,
    shortState(volume),
    volume.backend,
    bytesText(volume.usage.bytes),
    quotaText(volume),
    ago(volume.createdAt, now),
    labelsText(volume.labels),
  ]);
  return table(["ID", "NAME", "STATE", "BACKEND", "USED", "QUOTA", "AGE", "LABELS"], rows);
}

const ENFORCED: Record<VolumeInfo["quotaEnforcedBy"], string> = {
  kernel: "wherever a write comes from",
  upload: "only for uploads; what sandboxes write is measured",
  none: "not enforced",
};

export function volumeText(volume: VolumeInfo): string {
  const { usage, remote, origin } = volume;
  return properties([
    ["id", volume.id],
    ["name", volume.name],
    ["state", stateOf(volume)],
    ["backend", remote === null ? volume.backend : `${volume.backend}: ${remote.type} ${remote.path}`],
    ["store", volume.store],
    ["used", usage.measuredAt === null ? "not measured" : `${bytesText(usage.bytes)}, ${usage.files ?? "-"} files, at ${usage.measuredAt}`],
    ["quota", volume.quotaMb === null ? "none" : `${quotaText(volume)}, ${ENFORCED[volume.quotaEnforcedBy]}`],
    ["forked from", origin && `${origin.volumeId}${origin.versionId === null ? "" : ` at ${origin.versionId}`}`],
    ["labels", labelsText(volume.labels)],
    ["created", volume.createdAt],
    ["updated", volume.updatedAt],
  ]);
}

export function versionsTable(versions: readonly VolumeVersion[], now: number): string {
  const rows = versions.map((version) => [
    version.id,
    version.name,
    stateOf(version),
    bytesText(version.usage.bytes),
    ago(version.createdAt, now),
  ]);
  return table(["ID", "NAME", "STATE", "USED", "AGE"], rows);
}

export function usersText({ users, total }: VolumeUsers): string {
  if (total === 0) return "nobody has it among its mounts";
  const rows = users.map(({ sandboxId, state, path, mode }) => [sandboxId, state, path, mode]);
  const more = total - users.length;
  return [table(["SANDBOX", "STATE", "PATH", "MODE"], rows), ...(more > 0 ? [`… ${more} more`] : [])].join("\n");
}

const KINDS: Partial<Record<FileInfo["type"], string>> = { directory: "/", symlink: "@", fifo: "|", socket: "=" };

/** Like `ls -lF`. Names come from whoever wrote them, and may hold what moves a cursor. */
export function filesTable(files: readonly FileInfo[]): string {
  const rows = files.map(({ mode, uid, gid, size, modifiedAt, name, type, linkTarget }) => [
    mode,
    `${uid}:${gid}`,
    type === "file" ? size : null,
    modifiedAt,
    printable(`${name}${KINDS[type] ?? ""}${linkTarget === null ? "" : ` -> ${linkTarget}`}`),
  ]);
  return table(["MODE", "OWNER", "BYTES", "MODIFIED", "NAME"], rows);
}

/** `vol_… at /data (ro, some/directory, ver_…)` */
export function mountText({ volume, path, mode, subpath, version }: SandboxInfo["volumes"][number]): string {
  const more = [mode, ...(subpath === "" ? [] : [subpath]), ...(version === null ? [] : [version])];
  return `${volume} at ${path} (${more.join(", ")})`;
}
