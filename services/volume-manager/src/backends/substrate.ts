import type { Work } from "./port.ts";

/** How one filesystem keeps directories of files: as subvolumes, or plainly. Paths are whole ones; parents are there. */
export interface Substrate {
  readonly sharesBlocks: boolean;
  readonly quota: "kernel" | "upload";
  /** An empty directory. What is in it counts for `owner`. */
  make(path: string, owner: string): Promise<void>;
  /** All that is in `from`, under a name that nothing has. */
  copy(from: string, to: string, how: { owner: string; bytes: number | null }, work: Work): Promise<void>;
  /** Never to change again, as far as the filesystem can see to that. */
  seal(path: string): Promise<void>;
  /** With all in it. Absent is success. */
  remove(path: string, signal?: AbortSignal): Promise<void>;
  /** Of all that counts for `owner`; null: none. */
  limit(root: string, owner: string, quotaMb: number | null): Promise<void>;
  /** Nothing counts for `owner` any more. */
  forget(root: string, owner: string): Promise<void>;
}
