import { closeSync, constants, fsyncSync, openSync, readSync, writeSync } from "node:fs";
import { checkBlock, childrenOf, type Item, itemsOf, levelOf } from "./btrfs-block.ts";

/** Of the superblock, a block without items. */
const SUPERBLOCK = {
  at: 65_536,
  bytes: 4_096,
  roots: 80,
  chunks: 88,
  log: 96,
  blockBytes: 148,
  bootChunksBytes: 160,
  bootChunks: 811,
} as const;
const KEY = { offset: 9, bytes: 17 } as const;
const CHUNK_ITEM = 228;
const CHUNK = { length: 0, type: 24, stripes: 44, bytes: 48, stripeOffset: 8, stripeBytes: 32 } as const;
/** All kinds of RAID: what is neither one copy nor two on one device. */
const CHUNK_RAID = 0b111_1101_1000n;
const ROOT_ITEM = 132;
const ROOT = { address: 176, level: 238 } as const;
const ROOT_BACKREF = 144;
const BACKREF = { nameBytes: 16, name: 18 } as const;
/** 1 GiB: some million subvolumes. */
const BLOCKS_MAX = 65_536;

/** The tree of a subvolume. */
export interface Tree {
  id: number;
  /** Logical address of its root block, which is a leaf where `level` is 0. */
  address: number;
  level: number;
}

interface Chunk {
  address: number;
  length: number;
  isRaid: boolean;
  /** Where each stripe is on the device. */
  stripes: number[];
}

/** A btrfs on one device, while nobody has it mounted. Reads a few blocks before the node serves anybody: it may well block. */
export class BtrfsDevice {
  readonly #fd: number;
  readonly #superblock: Buffer;
  readonly #blockBytes: number;
  #chunks: Chunk[] = [];

  /** Refused (EBUSY) while it is mounted, in another mount namespace too; and it cannot be mounted until it is closed. */
  static open(path: string): BtrfsDevice {
    const fd = openSync(path, constants.O_RDWR | constants.O_EXCL);
    try {
      const superblock = readAt(fd, SUPERBLOCK.at, SUPERBLOCK.bytes);
      checkBlock(superblock, SUPERBLOCK.at);
      const device = new BtrfsDevice(fd, superblock);
      device.#readChunks();
      return device;
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  }

  private constructor(fd: number, superblock: Buffer) {
    this.#fd = fd;
    this.#superblock = superblock;
    this.#blockBytes = superblock.readUInt32LE(SUPERBLOCK.blockBytes);
    if (superblock.readBigUInt64LE(SUPERBLOCK.log) !== 0n) throw new Error("the filesystem was not unmounted in order");
  }

  /** The trees of the subvolumes with one of these names, wherever they are. */
  treesOf(names: ReadonlySet<string>): Map<string, Tree> {
    const roots = new Map<bigint, Tree>();
    const trees = new Map<string, Tree>();
    for (const { object, type, data } of this.#items(Number(this.#superblock.readBigUInt64LE(SUPERBLOCK.roots)))) {
      if (type === ROOT_ITEM) {
        const address = Number(data.readBigUInt64LE(ROOT.address));
        roots.set(object, { id: Number(object), address, level: data.readUInt8(ROOT.level) });
      }
      const root = roots.get(object);
      if (type !== ROOT_BACKREF || root === undefined) continue;
      const name = data.toString("utf8", BACKREF.name, BACKREF.name + data.readUInt16LE(BACKREF.nameBytes));
      if (names.has(name)) trees.set(name, root);
    }
    return trees;
  }

  read(address: number): Buffer {
    const block = readAt(this.#fd, this.#placesOf(address)[0] ?? 0, this.#blockBytes);
    checkBlock(block, address);
    return block;
  }

  /** Every copy of it. */
  write(address: number, block: Buffer): void {
    for (const place of this.#placesOf(address)) writeSync(this.#fd, block, 0, block.length, place);
  }

  close(): void {
    try {
      fsyncSync(this.#fd);
    } finally {
      closeSync(this.#fd);
    }
  }

  #placesOf(address: number): number[] {
    const chunk = this.#chunks.find((each) => address >= each.address && address < each.address + each.length);
    if (chunk === undefined || chunk.isRaid) throw new Error(`the block at ${address} is not on one device alone`);
    return chunk.stripes.map((place) => place + address - chunk.address);
  }

  /** The chunks that hold the tree of chunks are in the superblock, each after its key. */
  #readChunks(): void {
    const end = SUPERBLOCK.bootChunks + this.#superblock.readUInt32LE(SUPERBLOCK.bootChunksBytes);
    for (let at: number = SUPERBLOCK.bootChunks; at < end; ) {
      const data = this.#superblock.subarray(at + KEY.bytes);
      const chunk = readChunk(this.#superblock.readBigUInt64LE(at + KEY.offset), data);
      this.#chunks.push(chunk);
      at += KEY.bytes + CHUNK.bytes + CHUNK.stripeBytes * chunk.stripes.length;
    }
    const chunks: Chunk[] = [];
    for (const { type, offset, data } of this.#items(Number(this.#superblock.readBigUInt64LE(SUPERBLOCK.chunks))))
      if (type === CHUNK_ITEM) chunks.push(readChunk(offset, data));
    this.#chunks = chunks;
  }

  *#items(root: number): Generator<Item> {
    // Those to be read next at the end: in the order of keys.
    const addresses = [root];
    for (let read = 0; read < BLOCKS_MAX; read++) {
      const address = addresses.pop();
      if (address === undefined) return;
      const block = this.read(address);
      if (levelOf(block) > 0) addresses.push(...childrenOf(block).reverse());
      else yield* itemsOf(block);
    }
    throw new Error("a tree has too many blocks");
  }
}

function readChunk(address: bigint, data: Buffer): Chunk {
  const stripes = Array.from({ length: data.readUInt16LE(CHUNK.stripes) }, (_, index) =>
    Number(data.readBigUInt64LE(CHUNK.bytes + CHUNK.stripeBytes * index + CHUNK.stripeOffset)),
  );
  const isRaid = (data.readBigUInt64LE(CHUNK.type) & CHUNK_RAID) !== 0n;
  return { address: Number(address), length: Number(data.readBigUInt64LE(CHUNK.length)), isRaid, stripes };
}

function readAt(fd: number, position: number, length: number): Buffer {
  const buffer = Buffer.alloc(length);
  const bytesRead = readSync(fd, buffer, 0, length, position);
  if (bytesRead !== length) throw new Error(`the device ends at ${position + bytesRead}`);
  return buffer;
}
