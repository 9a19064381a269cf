const started = new Set<number>();
let watching = false;

/** A test run that ends early leaves no server behind. */
export function killAtExit(pid: number): () => void {
  started.add(pid);
  if (!watching) {
    watching = true;
    process.once("exit", () => {
      for (const left of started) kill(left);
    });
  }
  return () => started.delete(pid);
}

export function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    // Already gone.
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
  }
}
