import { existsSync, mkdirSync, statfsSync } from "node:fs";
import { open, rename } from "node:fs/promises";
import { runCommand } from "../host/command.ts";
import { mountAt } from "../host/mounts.ts";

/** Left free on the host's filesystem when the image's size is not given. */
const SHARE_OF_FREE = 0.8;
const MB = 1024 * 1024;
const MKFS_TIMEOUT_MS = 120_000;
/** `nodatacow`: what nothing shares is written in place and without checksums, as on ext4; what a snapshot or a clone shares is still copied first. */
const MOUNT_OPTIONS = "noatime,discard=async,nodatacow";

export interface ImageMount {
  /** The image file; sparse, so that it takes what is written to it. */
  image: string;
  directory: string;
  sizeMb: number | null;
}

/** Mounts the btrfs image at its directory; one that is mounted already, by an earlier run, is adopted: sandboxes may run on it. */
export async function mountImage({ image, directory, sizeMb }: ImageMount): Promise<"mounted" | "adopted"> {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  if (mountAt(directory)?.fsType === "btrfs") return "adopted";
  if (!existsSync(image)) await makeImage(image, sizeMb);
  const device = await attachLoop(image);
  try {
    await runCommand("mount", ["-t", "btrfs", "-o", MOUNT_OPTIONS, device, directory]);
  } catch (error) {
    await runCommand("losetup", ["--detach", device]);
    throw error;
  }
  return "mounted";
}

/** What is done with the image's device meanwhile, where nothing uses the directory yet. */
export async function whileUnmounted(mount: ImageMount, work: (device: string) => Promise<void>): Promise<void> {
  await runCommand("umount", [mount.directory]);
  try {
    await work(await attachLoop(mount.image));
  } finally {
    await mountImage(mount);
  }
}

export async function unmountImage({ image, directory }: ImageMount): Promise<void> {
  if (mountAt(directory)?.fsType === "btrfs") await runCommand("umount", [directory]);
  for (const device of await loopsOf(image)) await runCommand("losetup", ["--detach", device]);
}

/** Made under another name first: a killed mkfs leaves no image that cannot be mounted. */
async function makeImage(image: string, sizeMb: number | null): Promise<void> {
  const { bavail, bsize } = statfsSync(image.slice(0, image.lastIndexOf("/")));
  const bytes = sizeMb !== null ? sizeMb * MB : Math.floor((bavail * bsize * SHARE_OF_FREE) / MB) * MB;
  const draft = `${image}.new`;
  const file = await open(draft, "w", 0o600);
  await file.truncate(bytes).finally(() => file.close());
  await runCommand("mkfs.btrfs", ["--quiet", "--force", "--nodiscard", "--metadata", "single", draft], { timeoutMs: MKFS_TIMEOUT_MS });
  await rename(draft, image);
}

/** A loop device on the image. Direct I/O: its pages are cached once, by btrfs, and not again below it. */
async function attachLoop(image: string): Promise<string> {
  const [existing] = await loopsOf(image);
  if (existing !== undefined) return existing;
  return (await runCommand("losetup", ["--find", "--show", "--direct-io=on", image])).trim();
}

async function loopsOf(image: string): Promise<string[]> {
  if (!existsSync(image)) return [];
  const listed = await runCommand("losetup", ["--list", "--noheadings", "--output", "NAME", "--associated", image]);
  return listed.split("\n").filter((line) => line !== "");
}
