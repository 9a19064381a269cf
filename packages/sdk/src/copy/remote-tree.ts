import { isBanyanError } from "../error.ts";
import type { FileInfo, Files } from "../files.ts";
import type { Found } from "./compare.ts";
import { pathOf } from "./local-tree.ts";

/** What lies in the volume, as the same side of a comparison has it. */
export function foundOf(info: FileInfo): Found {
  const mode = Number.parseInt(info.mode, 8);
  if (info.type === "file") return { type: "file", size: info.size, mtimeMs: Date.parse(info.modifiedAt), mode };
  if (info.type === "directory") return { type: "directory", mode };
  if (info.type === "symlink") return { type: "symlink", target: pathOf(info.linkTarget ?? "") };
  return { type: "other" };
}

/** Null: there is nothing. A link is what it leads to unless `noFollow`. */
export async function lookThere(files: Files, path: string, { noFollow = false } = {}): Promise<FileInfo | null> {
  try {
    return await files.stat(path, { follow: !noFollow });
  } catch (error) {
    if (isBanyanError(error, "file.not_found", "file.not_a_directory")) return null;
    throw error;
  }
}

export const joined = (directory: string, name: string): string => `${directory.replace(/\/+$/, "")}/${name}`;
