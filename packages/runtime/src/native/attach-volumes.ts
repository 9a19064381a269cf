import type { MountMode } from "@banyan/contracts";
import type { Field, Fields } from "./frame.ts";
import { NativeError } from "./native-error.ts";
import { Tag } from "./wire.ts";

const MOUNT_ID_BYTES = 8;

/** One volume as the helper mounts it. */
export interface VolumeRequest {
  mode: MountMode;
  /** Where in the sandbox. */
  target: string;
  /** A directory of the host, and a directory or file in it; empty: all of it. */
  source: string;
  subpath: string;
  /** For `cow`: the directory below `.banyan/cow` of the sandbox's files, and a work directory beside its upper. */
  cow: { name: string; work: string } | null;
}

export function volumeField({ mode, target, source, subpath, cow }: VolumeRequest): Field {
  const texts = [mode, target, source, subpath, cow?.name ?? "", cow?.work ?? ""];
  if (texts.some((text) => text.includes("\0"))) throw new NativeError("bad_request", "a path may not hold a NUL byte");
  return [Tag.Volume, Buffer.from(texts.map((text) => `${text}\0`).join(""))];
}

export function mountIds(reply: Fields): number[] {
  const bytes = reply.has(Tag.MountId) ? reply.bytes(Tag.MountId) : Buffer.alloc(0);
  return Array.from({ length: bytes.length / MOUNT_ID_BYTES }, (_, at) => Number(bytes.readBigUInt64LE(at * MOUNT_ID_BYTES)));
}
