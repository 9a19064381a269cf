import type { Operation } from "./operation.ts";
import type { StoredFiles, StoredSandbox } from "./stored-files.ts";

/** Like Operation, of a sandbox that need not run. */
export interface StoredOperation extends Omit<Operation, "sandbox" | "params" | "rest"> {
  readonly sandbox: StoredSandbox;
  readonly orgId: string;
  readonly stored: StoredFiles;
}

export type StoredHandler = (operation: StoredOperation) => Promise<void>;
