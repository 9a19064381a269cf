/** Of either side, what a copy compares. */
export type Found =
  | { type: "file"; size: number; mtimeMs: number; mode: number }
  | { type: "directory"; mode: number }
  | { type: "symlink"; target: string }
  | { type: "other" };

export interface Comparison {
  checksum?: boolean;
  sizeOnly?: boolean;
  delete?: boolean;
}

export type Deed =
  | { kind: "none" }
  /** `replaces`: what is there has to go before. */
  | { kind: "copy"; replaces: boolean }
  | { kind: "mode" }
  /** Only the content can tell. */
  | { kind: "check"; modeDiffers: boolean }
  | { kind: "skip" }
  | { kind: "refuse"; reason: string };

/** What makes the one like the other. */
export function compare(here: Found, there: Found | undefined, by: Comparison): Deed {
  if (here.type === "other") return { kind: "skip" };
  if (there === undefined) return { kind: "copy", replaces: false };
  if (there.type === "directory" && here.type !== "directory") {
    return by.delete ? { kind: "copy", replaces: true } : { kind: "refuse", reason: "a directory is in its place; `delete` replaces it" };
  }
  if (here.type === "directory") {
    if (there.type !== "directory") return { kind: "copy", replaces: true };
    return here.mode === there.mode ? { kind: "none" } : { kind: "mode" };
  }
  if (here.type === "symlink") {
    return there.type === "symlink" && there.target === here.target ? { kind: "none" } : { kind: "copy", replaces: true };
  }
  return there.type === "file" ? compareFiles(here, there, by) : { kind: "copy", replaces: true };
}

type File = Extract<Found, { type: "file" }>;

function compareFiles(here: File, there: File, { checksum, sizeOnly }: Comparison): Deed {
  if (here.size !== there.size) return { kind: "copy", replaces: false };
  const modeDiffers = here.mode !== there.mode;
  if (checksum) return { kind: "check", modeDiffers };
  if (!sizeOnly && here.mtimeMs !== there.mtimeMs) return { kind: "copy", replaces: false };
  return modeDiffers ? { kind: "mode" } : { kind: "none" };
}
