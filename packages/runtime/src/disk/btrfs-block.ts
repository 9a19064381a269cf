/**
 * A block of a btrfs tree as it is on disk: a header of 101 bytes; in a leaf items of 25 bytes (key, where the item's data is after the header, and how
 * long), their data at the end; in any other block pointers of 33 bytes (key, the child's address). A key is object u64, type u8, offset u64.
 */
const HEADER = { address: 48, owner: 88, items: 96, level: 100, bytes: 101 } as const;
const ITEM = { type: 8, offset: 9, dataAt: 17, dataBytes: 21, bytes: 25 } as const;
const POINTER = { address: 17, bytes: 33 } as const;
const CHECKSUM_BYTES = 32;

export interface Item {
  object: bigint;
  type: number;
  offset: bigint;
  /** In the block. */
  keyAt: number;
  dataAt: number;
  data: Buffer;
}

/** Throws unless it is whole and the one of this logical address. */
export function checkBlock(block: Buffer, address: number): void {
  const isWhole = block.readUInt32LE(0) === checksum(block) && block.readBigUInt64LE(HEADER.address) === BigInt(address);
  if (!isWhole) throw new Error(`there is no whole block at ${address}`);
}

export const levelOf = (block: Buffer): number => block.readUInt8(HEADER.level);

export const ownerOf = (block: Buffer): number => Number(block.readBigUInt64LE(HEADER.owner));

const countOf = (block: Buffer): number => block.readUInt32LE(HEADER.items);

export function itemsOf(leaf: Buffer): Item[] {
  return Array.from({ length: countOf(leaf) }, (_, index) => {
    const keyAt = HEADER.bytes + ITEM.bytes * index;
    const dataAt = HEADER.bytes + leaf.readUInt32LE(keyAt + ITEM.dataAt);
    const data = leaf.subarray(dataAt, dataAt + leaf.readUInt32LE(keyAt + ITEM.dataBytes));
    return {
      object: leaf.readBigUInt64LE(keyAt),
      type: leaf.readUInt8(keyAt + ITEM.type),
      offset: leaf.readBigUInt64LE(keyAt + ITEM.offset),
      keyAt,
      dataAt,
      data,
    };
  });
}

/** Addresses of the blocks below one that is not a leaf. */
export function childrenOf(block: Buffer): number[] {
  return Array.from({ length: countOf(block) }, (_, index) =>
    Number(block.readBigUInt64LE(HEADER.bytes + POINTER.bytes * index + POINTER.address)),
  );
}

/** After a change. */
export function sealBlock(block: Buffer): void {
  block.writeUInt32LE(checksum(block), 0);
}

const CRC32C_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = (value >>> 1) ^ (value & 1 ? 0x82f63b78 : 0);
  return value >>> 0;
});

/** CRC-32C of all that follows the place of the checksum: what mkfs.btrfs chooses unless told otherwise. */
function checksum(block: Buffer): number {
  let value = 0xffffffff;
  for (let at = CHECKSUM_BYTES; at < block.length; at++) value = (value >>> 8) ^ (CRC32C_TABLE[(value ^ (block[at] ?? 0)) & 0xff] ?? 0);
  return (value ^ 0xffffffff) >>> 0;
}
