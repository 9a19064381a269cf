import { existsSync, readFileSync } from "node:fs";
import { chmod, copyFile, mkdir, mkdtemp, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { SLOT_DIRECTORIES, SLOT_INIT, slotImage } from "./slot-image.ts";

const APPARMOR_PROFILES = "/sys/kernel/security/apparmor/profiles";
const APPARMOR_DOCKER = "docker-default";
const DRAFT_PREFIX = "draft-";

/** The slot image as a directory, made once for each init there has been. All slots of a node share it: it is mounted read-only. `parent` is one node's own. */
export async function makeSlotRoot(initPath: string, parent: string): Promise<string> {
  const drafts = (await readdir(parent)).filter((name) => name.startsWith(DRAFT_PREFIX));
  for (const name of drafts) await rm(join(parent, name), { recursive: true, force: true });
  const root = join(parent, `root-${slotImage(initPath).tag}`);
  if (existsSync(root)) return root;
  const draft = await mkdtemp(join(parent, DRAFT_PREFIX));
  for (const name of SLOT_DIRECTORIES) await mkdir(join(draft, name), { recursive: true, mode: 0o755 });
  await copyFile(initPath, join(draft, SLOT_INIT));
  await chmod(join(draft, SLOT_INIT), 0o755);
  await chmod(draft, 0o755);
  await rename(draft, root);
  return root;
}

/** Docker confines its containers by this profile where the host has AppArmor, and loads it; a runtime alone can only name it. */
export function loadedAppArmorProfile(path: string = APPARMOR_PROFILES): string | null {
  if (!existsSync(path)) return null;
  const isLoaded = readFileSync(path, "utf8")
    .split("\n")
    .some((line) => line.startsWith(`${APPARMOR_DOCKER} `));
  return isLoaded ? APPARMOR_DOCKER : null;
}
