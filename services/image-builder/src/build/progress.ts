import { z } from "zod";
import { LineSplitter } from "./line-splitter.ts";

/** One line of what the engine streams while it pulls, loads or builds. */
export const Progress = z.object({
  stream: z.string().optional(),
  status: z.string().optional(),
  id: z.string().optional(),
  error: z.string().optional(),
  errorDetail: z.object({ code: z.int().optional(), message: z.string() }).optional(),
  aux: z.unknown().optional(),
});
export type Progress = z.infer<typeof Progress>;

const PROGRESS_BYTES_MAX = 4 * 1024 * 1024;

/** What the engine said in a stream that began well. */
export class EngineError extends Error {
  /** Of the command that failed, where one did. */
  readonly exitCode: number | null;

  constructor(message: string, exitCode: number | null) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** Reads to the end. The engine answers 200 before it begins, so that a failure is a line like any other. */
export async function readProgress(stream: NodeJS.ReadableStream, onLine: (line: Progress) => void = () => {}): Promise<void> {
  const failures: EngineError[] = [];
  const lines = new LineSplitter((text) => {
    if (text.trim() === "") return;
    const line = Progress.parse(JSON.parse(text));
    const message = line.errorDetail?.message ?? line.error;
    if (message !== undefined) failures.push(new EngineError(message, line.errorDetail?.code ?? null));
    onLine(line);
  }, PROGRESS_BYTES_MAX);
  for await (const chunk of stream) lines.write(Buffer.from(chunk));
  lines.end();
  if (failures[0] !== undefined) throw failures[0];
}
