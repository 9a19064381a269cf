import { readFileSync } from "node:fs";

export interface Mount {
  id: number;
  /** The part of the filesystem that is mounted. */
  root: string;
  mountPoint: string;
  fsType: string;
  source: string;
  /** Options of the superblock: `key=value` or a bare `key`. */
  options: string[];
}

/** The mounts as a process sees them. Empty when the process is gone. */
export function readMounts(pid: number | "self" = "self"): Mount[] {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/mountinfo`, "utf8");
  } catch {
    return [];
  }
  return text.split("\n").flatMap(parseMountLine);
}

function parseMountLine(line: string): Mount[] {
  const [left, right] = line.split(" - ");
  const before = left?.split(" ") ?? [];
  const [fsType, source, options] = right?.split(" ") ?? [];
  const [root, mountPoint] = [before[3], before[4]];
  if (root === undefined || mountPoint === undefined || fsType === undefined || source === undefined) return [];
  return [
    {
      id: Number(before[0]),
      root: unescapeOctal(root),
      mountPoint: unescapeOctal(mountPoint),
      fsType,
      source: unescapeOctal(source),
      options: unescapeOctal(options ?? "").split(","),
    },
  ];
}

/** The kernel writes space, tab, newline and backslash as three octal digits. */
function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

/** The mount that is on top at this very path, if any. */
export function mountAt(path: string): Mount | undefined {
  return readMounts().findLast((mount) => mount.mountPoint === path);
}
