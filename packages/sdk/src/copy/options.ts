/** What has to be known of an upload that was broken off, kept by whoever copies, so that the same copy goes on with it. */
export interface UploadNotes {
  find(file: string): Promise<string | null>;
  keep(file: string, uploadId: string): Promise<void>;
  forget(file: string): Promise<void>;
}

export interface CopyOptions {
  /** Compare what has the same size by its content, whatever its time says. Default: by size and time. */
  checksum?: boolean;
  /** Compare by size alone, for stores that keep no times. */
  sizeOnly?: boolean;
  /** Remove what is only there. */
  delete?: boolean;
  /** Only say what would be done. */
  dryRun?: boolean;
  /** Into a volume: keep owners, and compare them. Default: what is copied belongs to root. */
  owners?: boolean;
  /** Each thing that is done, once it is. */
  onChange?(change: CopyChange): void;
  /** What could not be copied; the rest goes on. */
  onProblem?(problem: CopyProblem): void;
  onProgress?(progress: CopyProgress): void;
  notes?: UploadNotes;
  signal?: AbortSignal | undefined;
}

export interface CopyChange {
  kind: "copy" | "mode" | "delete" | "skip";
  path: string;
  bytes: number;
}

export interface CopyProblem {
  path: string;
  reason: string;
}

export interface CopyProgress {
  files: number;
  bytes: number;
  /** As far as is known by now. */
  filesTotal: number;
  bytesTotal: number;
  /** Nothing more will be found. */
  compared: boolean;
  /** Of `bytes`: what a copy that was broken off had brought over already. */
  resumed: number;
}

export interface CopyResult {
  /** Files, links and directories. */
  copied: number;
  bytes: number;
  /** Of which only the mode or the owner differed. */
  modes: number;
  unchanged: number;
  deleted: number;
  /** What is no file, directory or link. */
  skipped: number;
  failed: number;
}
