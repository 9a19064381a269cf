import { mkdirSync, statfsSync } from "node:fs";
import { join } from "node:path";
import { messageOf } from "@banyan/kernel";
import type { AttachOperations } from "../slots/attach-helper.ts";
import { type Blanks, makeBlanks, readBlanks } from "./blanks.ts";
import { BtrfsDisk } from "./btrfs.ts";
import type { DiskDriver, DiskRoot } from "./driver.ts";
import { type ImageMount, mountImage, unmountImage } from "./image-mount.ts";
import { PlainDisk } from "./plain.ts";

const BTRFS_MAGIC = 0x9123683e;
const SHARED_NUMBERS = "a new file of a sandbox can have the inode number of one in its image or its parent";

export interface OpenDiskOptions {
  dataDir: string;
  mode: "auto" | "btrfs" | "plain";
  /** Size of the image file; null: a share of what is free. */
  sizeMb: number | null;
  attach: AttachOperations;
  /** Told once what the operator should know: a driver that is not the best one, limits that are not enforced. */
  warn: (message: string, reason: string) => void;
}

/** The best disk driver this host can carry: btrfs on the data directory itself, btrfs in an image file, plain directories. */
export async function openDisk(options: OpenDiskOptions): Promise<DiskRoot> {
  const { dataDir, mode, attach, warn } = options;
  const directory = join(dataDir, "disk");
  if (mode !== "plain") {
    try {
      return await openBtrfs(options, directory);
    } catch (error) {
      if (mode === "btrfs") throw error;
      warn("no btrfs here: disks are plain directories and their limits are not enforced", messageOf(error));
    }
  }
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  return diskRoot(directory, new PlainDisk(directory, attach), async () => {});
}

async function openBtrfs({ dataDir, sizeMb, attach, warn }: OpenDiskOptions, directory: string): Promise<DiskRoot> {
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  const image = { image: join(dataDir, "disk.img"), directory, sizeMb };
  const onBtrfs = statfsSync(dataDir).type === BTRFS_MAGIC;
  if (onBtrfs) mkdirSync(directory, { recursive: true, mode: 0o700 });
  const isFresh = !onBtrfs && (await mountImage(image)) === "mounted";
  const blanks = await openBlanks(isFresh ? image : null, directory, { attach, warn });
  // However that ended.
  if (!onBtrfs) await mountImage(image);
  let enforcesLimits = true;
  try {
    await attach.diskEnable(directory);
  } catch (error) {
    enforcesLimits = false;
    warn("this kernel has no simple quotas: disk limits are not enforced", messageOf(error));
  }
  const driver = new BtrfsDisk(directory, attach, { enforcesLimits, blanks });
  await driver.spares.clear();
  return diskRoot(directory, driver, async () => {
    await driver.spares.settled();
    if (!onBtrfs) await unmountImage(image);
  });
}

/** `image`: where this process alone has mounted it. Without blanks all is as it should be but for the inode numbers. */
async function openBlanks(
  image: ImageMount | null,
  directory: string,
  { attach, warn }: Pick<OpenDiskOptions, "attach" | "warn">,
): Promise<Blanks | null> {
  try {
    const blanks = readBlanks(directory) ?? (image === null ? null : await makeBlanks(image, attach));
    if (blanks !== null) return blanks;
    warn(SHARED_NUMBERS, "the disk is not an image that only this process has mounted");
  } catch (error) {
    warn(SHARED_NUMBERS, messageOf(error));
  }
  return null;
}

function diskRoot(directory: string, driver: DiskDriver, close: () => Promise<void>): DiskRoot {
  return {
    directory,
    driver,
    space() {
      const { blocks, bavail, bsize } = statfsSync(directory);
      return { totalBytes: blocks * bsize, freeBytes: bavail * bsize };
    },
    close,
  };
}
