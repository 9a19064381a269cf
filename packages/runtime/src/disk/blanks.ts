import { existsSync, mkdirSync, readdirSync, renameSync, statSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { AttachOperations } from "../slots/attach-helper.ts";
import { itemsOf, ownerOf, sealBlock } from "./btrfs-block.ts";
import { BtrfsDevice } from "./btrfs-device.ts";
import { type ImageMount, whileUnmounted } from "./image-mount.ts";

/** More than a stack has layers, so that one is always left that none of them was made from. */
const BLANKS_MAX = 128;
const BUSY_TRIES_MAX = 30;
const BUSY_MS = 100;
/** So many serve in turn: of those made ahead, all but a few then suit any stack of a few layers. */
const IN_TURN_MAX = 8;
/** Numbers of inodes of one blank and the disks made from it. No disk makes as many: that is 1,000 files a second for two years. */
const RANGE_SIZE = 2 ** 36;
/** The first inode of a subvolume after its root directory. */
const INODE_FIRST = 257n;
/** Items whose data begins with the key of the inode that a name leads to. */
const DIR_ITEM = 84;
const DIR_INDEX = 96;

export interface Blank {
  /** Which of the ranges of inode numbers; 0 has what no blank counts. */
  range: number;
  path: string;
}

/** The range of the disk, or of the frozen disk, whose `upper` this is; 0 for any other directory. */
export function rangeOf(upper: string): number {
  return Math.floor((statSync(upper, { throwIfNoEntry: false })?.ino ?? 0) / RANGE_SIZE);
}

/**
 * Empty disks that count their inodes from numbers far apart. overlayfs answers the numbers of a stack's files as they are, all with one device: so no
 * two disks of a stack may count alike. Each is a snapshot of a blank that none of those below it is made from.
 */
export class Blanks {
  readonly #blanks: readonly Blank[];
  #turn = 0;

  constructor(blanks: readonly Blank[]) {
    this.#blanks = blanks.filter(({ range }) => range > 0);
  }

  /** One with another range than those; null where there are no blanks. */
  next(beside: ReadonlySet<number>): Blank | null {
    const suiting = this.#blanks.filter(({ range }) => !beside.has(range)).slice(0, IN_TURN_MAX);
    return suiting[this.#turn++ % suiting.length] ?? null;
  }
}

const nameOf = (range: number): string => `blank-${range}`;
const ranges = Array.from({ length: BLANKS_MAX }, (_, at) => at + 1);

/** Those of a disk directory, of which there are none before they are made. */
export function readBlanks(directory: string): Blanks | null {
  const blanks = join(directory, "blanks");
  return existsSync(blanks) ? new Blanks(blanksIn(blanks)) : null;
}

function blanksIn(directory: string): Blank[] {
  return readdirSync(directory).map((name) => {
    const path = join(directory, name);
    return { path, range: rangeOf(join(path, "upper")) };
  });
}

/**
 * Makes the blanks of an image that nobody else uses yet: subvolumes first; then, while it is not mounted, the numbers of the inodes in each are
 * changed on the device, which the kernel has no call for. What a killed process has left of it is completed.
 */
export async function makeBlanks(mount: ImageMount, attach: Pick<AttachOperations, "diskCreate" | "diskDelete">): Promise<Blanks> {
  const draft = join(mount.directory, "blanks.new");
  mkdirSync(draft, { recursive: true, mode: 0o700 });
  const unmoved = blanksIn(draft).filter(({ range }) => range === 0);
  await Promise.all(unmoved.map(({ path }) => attach.diskDelete(path)));
  const missing = ranges.filter((range) => !existsSync(join(draft, nameOf(range))));
  await Promise.all(missing.map((range) => attach.diskCreate({ path: join(draft, nameOf(range)) })));
  if (missing.length > 0) await whileUnmounted(mount, (device) => renumberWhenFree(device, missing));
  const wrong = ranges.filter((range) => rangeOf(join(draft, nameOf(range), "upper")) !== range);
  if (wrong.length > 0) throw new Error(`blanks count from where they should not: ${wrong.join(" ")}`);
  renameSync(draft, join(mount.directory, "blanks"));
  return new Blanks(blanksIn(join(mount.directory, "blanks")));
}

/** Every container that starts at this moment has a copy of this host's mounts for a while, and with it the filesystem. */
async function renumberWhenFree(devicePath: string, missing: readonly number[]): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      return renumber(devicePath, missing);
    } catch (error) {
      if (!isBusy(error) || tries === BUSY_TRIES_MAX) throw error;
      await sleep(BUSY_MS);
    }
  }
}

const isBusy = (error: unknown): boolean => error instanceof Error && "code" in error && error.code === "EBUSY";

function renumber(devicePath: string, missing: readonly number[]): void {
  const device = BtrfsDevice.open(devicePath);
  try {
    const trees = device.treesOf(new Set(missing.map(nameOf)));
    for (const range of missing) {
      const tree = trees.get(nameOf(range));
      if (tree?.level !== 0) throw new Error(`${nameOf(range)} is not a tree of one block`);
      const leaf = device.read(tree.address);
      if (ownerOf(leaf) !== tree.id) throw new Error(`${nameOf(range)} has the block of another tree`);
      moveInodes(leaf, range);
      device.write(tree.address, leaf);
    }
  } finally {
    device.close();
  }
}

/** To the beginning of the range, all but that of the root directory. The kernel counts the inodes of a tree on from the highest object in it. */
function moveInodes(leaf: Buffer, range: number): void {
  const move = (at: number) => {
    const inode = leaf.readBigUInt64LE(at);
    if (inode >= INODE_FIRST) leaf.writeBigUInt64LE(BigInt(range * RANGE_SIZE) + inode - INODE_FIRST, at);
  };
  for (const { type, keyAt, dataAt } of itemsOf(leaf)) {
    move(keyAt);
    if (type === DIR_ITEM || type === DIR_INDEX) move(dataAt);
  }
  sealBlock(leaf);
}
