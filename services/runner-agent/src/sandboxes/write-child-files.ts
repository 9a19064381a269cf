import { fault } from "@banyan/contracts";
import { messageOf } from "@banyan/kernel";
import type { InitClient } from "@banyan/runtime";

const TIMEOUT_MS = 20_000;

/** Writes what a child has of its own, before its command runs. Throws sandbox.start_failed. */
export async function writeChildFiles(init: InitClient, files: Record<string, string>, signal: AbortSignal): Promise<void> {
  const until = AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]);
  for (const [path, content] of Object.entries(files)) {
    try {
      await init.files.write(path, content, { parents: true, mode: 0o644, signal: until });
    } catch (cause) {
      throw fault(
        "sandbox.start_failed",
        { path, reason: messageOf(cause) },
        { cause, message: `a file of the child cannot be written: ${path}` },
      );
    }
  }
}
