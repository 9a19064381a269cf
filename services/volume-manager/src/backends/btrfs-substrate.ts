import { createHash } from "node:crypto";
import { hostCommand } from "./host-command.ts";
import { PlainSubstrate } from "./plain-substrate.ts";
import type { Work } from "./port.ts";
import type { Substrate } from "./substrate.ts";

const MB = 1024 * 1024;
/** A kernel of 48 bits: the number of a quota group within its level. */
const GROUP_BYTES = 6;
/** Of the root of every subvolume, and of nothing else. */
const SUBVOLUME_INODE = "256";
const FIND_MS_MAX = 3_600_000;

/**
 * Subvolumes: a copy is a snapshot. All subvolumes of a volume, its versions and what a sandbox makes inside among them, belong to one quota group of
 * the second level, and the limit is that group's: nothing escapes it by being a subvolume of its own.
 */
export class BtrfsSubstrate implements Substrate {
  readonly sharesBlocks = true;
  readonly quota: "kernel" | "upload";
  readonly #plain = new PlainSubstrate();

  constructor({ hasQuotas }: { hasQuotas: boolean }) {
    this.quota = hasQuotas ? "kernel" : "upload";
  }

  async make(path: string, owner: string): Promise<void> {
    await this.#group(parentOf(path), owner);
    await hostCommand(["btrfs", "subvolume", "create", ...this.#within(owner), path]);
    await hostCommand(["chmod", "0777", "--", path]);
  }

  async copy(from: string, to: string, { owner }: { owner: string }, work: Work): Promise<void> {
    await this.#group(parentOf(to), owner);
    await hostCommand(["btrfs", "subvolume", "snapshot", ...this.#within(owner), from, to], { signal: work.signal });
  }

  async seal(path: string): Promise<void> {
    await hostCommand(["btrfs", "property", "set", "-ts", path, "ro", "true"]);
  }

  /** Without a walk, unless a sandbox has made subvolumes inside. */
  async remove(path: string, signal?: AbortSignal): Promise<void> {
    try {
      await hostCommand(["btrfs", "subvolume", "delete", path], signal && { signal });
    } catch {
      // What is read-only does not let go of what is within: this one, and snapshots that a sandbox has made inside.
      const open = ["btrfs", "property", "set", "-f", "-ts", "{}", "ro", "false", ";"];
      const argv = ["find", path, "-type", "d", "-inum", SUBVOLUME_INODE, "-execdir", ...open];
      await hostCommand(argv, { timeoutMs: FIND_MS_MAX, ...(signal && { signal }) }).catch(() => {});
      await this.#plain.remove(path, signal);
    }
  }

  async limit(root: string, owner: string, quotaMb: number | null): Promise<void> {
    if (this.quota !== "kernel") return;
    await this.#group(root, owner);
    await hostCommand(["btrfs", "qgroup", "limit", quotaMb === null ? "none" : String(quotaMb * MB), groupOf(owner), root]);
  }

  /** Refused while other volumes share blocks that were first written here: then the group stays, and counts them. */
  async forget(root: string, owner: string): Promise<void> {
    if (this.quota === "kernel") await hostCommand(["btrfs", "qgroup", "destroy", groupOf(owner), root]).catch(() => {});
  }

  async #group(at: string, owner: string): Promise<void> {
    if (this.quota !== "kernel") return;
    await hostCommand(["btrfs", "qgroup", "create", groupOf(owner), at]).catch((error: unknown) => {
      if (!/File exists/.test(String(error))) throw error;
    });
  }

  #within(owner: string): string[] {
    return this.quota === "kernel" ? ["-i", groupOf(owner)] : [];
  }
}

const parentOf = (path: string): string => path.slice(0, path.lastIndexOf("/"));
const groupOf = (owner: string): string => `1/${createHash("sha256").update(owner).digest().readUIntBE(0, GROUP_BYTES)}`;
