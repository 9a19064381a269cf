import { closeSync, mkdirSync, openSync, renameSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";
import { createLogger, type Logger, type LogLevel } from "@banyan/telemetry";

/** Beyond this the file of the last runs makes room at the next start. */
const LOG_BYTES_MAX = 64 * 1024 * 1024;
const SHOWN = new Set(["warn", "error"]);

export interface LogFile {
  logger: Logger;
  path: string;
  close(): void;
}

/** Everything goes to a file; the terminal belongs to what is said to the user, and to warnings when they are asked for. */
export function openLogFile(dataDir: string, level: LogLevel, show: ((line: string) => void) | null): LogFile {
  mkdirSync(join(dataDir, "log"), { recursive: true });
  const path = join(dataDir, "log/banyan.log");
  const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  if (size > LOG_BYTES_MAX) renameSync(path, `${path}.1`);
  const file = openSync(path, "a", 0o600);
  let open = true;
  const destination = {
    write(line: string): void {
      if (open) writeSync(file, line);
      if (show === null) return;
      const { level: said, service, msg } = JSON.parse(line) as Record<string, unknown>;
      if (SHOWN.has(String(said))) show(`${String(said)} ${String(service)}: ${String(msg)}`);
    },
  };
  return {
    logger: createLogger({ name: "standalone", level, destination }),
    path,
    close() {
      open = false;
      closeSync(file);
    },
  };
}
