import { lstatSync, mkdirSync, rmSync, type Stats } from "node:fs";
import { join } from "node:path";
import { OWN_DIRECTORY } from "../disk/changes.ts";
import { packLayer } from "./layer-tar.ts";
import { stackOver } from "./stack-over.ts";
import { untar } from "./untar.ts";
import { translateWhiteouts } from "./whiteouts.ts";

/**
 * `.banyan` of a stack, the topmost layer first, as one directory in overlayfs form that keeps every whiteout. Null: no layer has changes of a `cow`
 * mount. The layers are as untrusted as what made them, and nobody changes them any more.
 */
export async function mergedOwn(layers: readonly string[], place: string): Promise<string | null> {
  const found: string[] = [];
  for (const layer of layers) {
    const stat = look(join(layer, OWN_DIRECTORY));
    // Neither a whiteout nor a symlink: what lies below is hidden by it.
    if (stat !== undefined && !stat.isDirectory()) break;
    if (stat !== undefined) found.push(join(layer, OWN_DIRECTORY));
  }
  if (!found.some((own) => look(join(own, "cow"))?.isDirectory())) return null;
  const merged = join(place, "merged");
  const draft = join(place, "draft");
  mkdirSync(merged, { recursive: true, mode: 0o700 });
  for (const own of found.reverse()) {
    mkdirSync(draft, { mode: 0o700 });
    await untar([packLayer(own).tar], draft);
    await stackOver(draft, merged);
    rmSync(draft, { recursive: true });
  }
  await translateWhiteouts(merged);
  return merged;
}

function look(path: string): Stats | undefined {
  return lstatSync(path, { throwIfNoEntry: false });
}
