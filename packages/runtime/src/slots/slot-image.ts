import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { type Pack, pack } from "tar-stream";

/** What a slot's root holds until a sandbox is attached: init, and places to mount on. */
export const SLOT_DIRECTORIES = ["new", "proc", "dev", "sys", "tmp", "run", "run/banyan", "etc"];
export const SLOT_IMAGE_REPOSITORY = "banyan/slot";
export const SLOT_INIT = "/init";
export const SLOT_SOCKET_DIRECTORY = "/run/banyan";
export const SLOT_SOCKET_NAME = "init.sock";

export interface SlotImage {
  /** Names the image by the init in it, so that a new init makes a new image. */
  tag: string;
  tar(): Pack;
}

export function slotImage(initPath: string): SlotImage {
  const init = readFileSync(initPath);
  const tag = createHash("sha256").update(init).update(SLOT_DIRECTORIES.join()).digest("hex").slice(0, 16);
  return {
    tag,
    tar() {
      const archive = pack();
      // A fixed time: the same init gives the same image on every node.
      const mtime = new Date(0);
      for (const name of SLOT_DIRECTORIES) archive.entry({ name: `${name}/`, type: "directory", mode: 0o755, mtime });
      archive.entry({ name: SLOT_INIT.slice(1), mode: 0o755, mtime }, init);
      archive.finalize();
      return archive;
    },
  };
}
