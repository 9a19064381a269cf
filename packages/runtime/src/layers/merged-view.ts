import { mkdirSync, rmdirSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { fault } from "@banyan/contracts";
import { OWN_DIRECTORY } from "../disk/changes.ts";
import { readMounts } from "../host/mounts.ts";
import type { AttachOperations } from "../slots/attach-helper.ts";
import { mergedOwn } from "./merged-own.ts";

export interface MergedView {
  directory: string;
  remove(): Promise<void>;
}

type Run = AttachOperations["run"];

/** Directories in overlayfs form, the topmost first, as the one tree that a sandbox sees: whiteouts, opaque directories and all are the kernel's work. */
export async function mergedView(run: Run, layers: readonly string[], place: string): Promise<MergedView> {
  const [names, directory] = [join(place, "names"), join(place, "merged")];
  for (const path of [place, names, directory]) mkdirSync(path, { mode: 0o700 });
  // The mount's options have to fit into a page: each layer gets a name of few letters, relative to where the mount is made.
  for (const [at, layer] of layers.entries()) symlinkSync(layer, join(names, String(at)));
  const lower = `lowerdir=${[...layers.keys()].join(":")}`;
  try {
    await must(run, ["env", "-C", names, "mount", "-t", "overlay", "overlay", "-o", `ro,${lower}`, directory]);
    await showOwn(run, layers, place, directory);
  } catch (error) {
    await unmount(run, place);
    throw error;
  }
  return { directory, remove: () => unmount(run, place) };
}

/**
 * What a sandbox has changed in its `cow` mounts hides files of volumes, which are not among these layers: to the kernel such a whiteout hides nothing
 * here, and it shows none. So that part is put together by hand, and shown in place of the kernel's.
 */
async function showOwn(run: Run, layers: readonly string[], place: string, directory: string): Promise<void> {
  const own = await mergedOwn(layers, join(place, "own"));
  if (own !== null) await must(run, ["mount", "--bind", own, join(directory, OWN_DIRECTORY)]);
}

/** Also of an earlier process, and where nothing is mounted any more. */
export async function unmountBelow(run: Run, directory: string): Promise<void> {
  // What lies on another one first.
  const mounted = readMounts()
    .filter(({ mountPoint }) => mountPoint.startsWith(`${directory}/`))
    .reverse();
  for (const { mountPoint } of mounted) await must(run, ["umount", mountPoint]);
}

async function unmount(run: Run, place: string): Promise<void> {
  await unmountBelow(run, place);
  // Not a tree that is removed whatever is in it: were something still mounted, it would be lost.
  rmdirSync(join(place, "merged"));
  rmSync(place, { recursive: true, force: true });
}

async function must(run: Run, argv: readonly string[]): Promise<void> {
  const { exitCode, output } = await run(argv);
  if (exitCode !== 0) throw fault("internal", { argv, exitCode, output }, { message: `${argv[0]} failed: ${output}` });
}
