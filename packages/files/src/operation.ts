import type { IncomingMessage, ServerResponse } from "node:http";
import type { InitFiles } from "@banyan/runtime";

/** One request for the files that an `init` serves: of a running sandbox, or of a volume. It is authorised. */
export interface FileOperation {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly files: InitFiles;
  /** Empty, or starts with `?`. */
  readonly query: string;
  /** Aborted when the caller goes away before the answer is complete. */
  readonly signal: AbortSignal;
  /** Told of content before it is written; throws where there is no room for so much more. */
  readonly admit?: (bytes: number) => void;
  /** To rename costs as much as to write: a tree is unpacked where it belongs, one whole file after the other. */
  readonly isRenameCostly?: boolean;
}

export type FileHandler = (operation: FileOperation) => Promise<void>;
