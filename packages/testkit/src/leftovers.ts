import { spawn } from "node:child_process";

/** Waits for the end of its input, which comes when we end, by whatever means; then removes what we would have removed. */
const WATCH = 'cat > /dev/null; kill -9 "$1"; rm -rf -- "$2"';

/**
 * A test run that is killed leaves no server and no data behind: a process of its own sees to that. Answers the way to call it off once
 * both are gone.
 */
export function removeWhenWeEnd(pid: number, dataDir: string): () => void {
  const watcher = spawn("sh", ["-c", WATCH, "watch", String(pid), dataDir], { stdio: ["pipe", "ignore", "ignore"], detached: true });
  watcher.unref();
  const { stdin } = watcher;
  if ("unref" in stdin && typeof stdin.unref === "function") stdin.unref();
  const { pid: watcherPid } = watcher;
  if (watcherPid === undefined) throw new Error("sh could not be started");
  return () => killGroup(watcherPid);
}

export const killServer = (pid: number): void => kill(pid);

/** The shell and its cat. */
const killGroup = (pid: number): void => kill(-pid);

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    // Already gone.
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
  }
}
