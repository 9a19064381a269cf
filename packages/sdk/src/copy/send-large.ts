import { isUtf8 } from "node:buffer";
import type { VolumeHandle } from "../volume.ts";
import { bytesOf, digestOfFile, type LocalEntry, modeOf, openFile, readExactly, wholeMs } from "./local-tree.ts";
import type { CopyOptions } from "./options.ts";
import type { Tally } from "./tally.ts";

/** One large file, in parts; after an interruption the same file goes on where it stood. */
export async function sendLarge(
  volume: VolumeHandle,
  entry: LocalEntry,
  target: string,
  { notes, signal, checksum, owners }: CopyOptions,
  tally: Tally,
): Promise<void> {
  if (!isUtf8(bytesOf(entry.path))) throw new Error("its name is no UTF-8, and it is too large to be packed");
  const file = await openFile(entry.at);
  try {
    const info = await file.stat({ bigint: true });
    const size = Number(info.size);
    const note = JSON.stringify([target, entry.at, size, String(info.mtimeNs), String(info.ino)]);
    const uploadId = (await notes?.find(note)) ?? undefined;
    let counted: number | null = null;
    const count = (sent: number): void => {
      if (counted === null) tally.resumed(sent);
      else tally.sent(sent - counted);
      counted = sent;
    };
    await volume.upload(
      target,
      { size, read: (offset, length) => readExactly(file, offset, length) },
      {
        mode: modeOf(info).toString(8).padStart(4, "0"),
        modifiedAt: new Date(wholeMs(info)),
        ...(checksum && { sha256: await digestOfFile(entry.at) }),
        ...(uploadId !== undefined && { uploadId }),
        onBegin: (id) => notes?.keep(note, id),
        onProgress: ({ sent }) => count(sent),
        signal,
      },
    );
    await notes?.forget(note);
    if (owners) await volume.files.chmod(target, { uid: entry.uid, gid: entry.gid });
    const after = await file.stat({ bigint: true });
    if (after.mtimeNs !== info.mtimeNs || after.size !== info.size) throw new Error("it changed while it was read; copy again");
    tally.done("copy", entry.path, size);
  } finally {
    await file.close();
  }
}
