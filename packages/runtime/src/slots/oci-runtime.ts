import { readFile } from "node:fs/promises";
import { fault } from "@banyan/contracts";
import type { AttachOperations } from "./attach-helper.ts";

export interface OciRuntimeOptions {
  /** runc or what behaves like it: a name in PATH or a path. */
  program: string;
  /** Where the runtime keeps its own state. */
  stateDirectory: string;
  attach: Pick<AttachOperations, "run">;
}

const RUN_TIMEOUT_MS = 20_000;
const DELETE_TIMEOUT_MS = 30_000;
/** The helper bounds the size of what its tools write. What stays must not inherit that, nor the helper's files. */
const DETACHED = 'ulimit -S -f "$(ulimit -H -f)" && exec "$@" </dev/null >/dev/null 2>&1';

/** An OCI runtime's commands, run by the helper: forks of the large runner would hold up all that it serves. */
export class OciRuntime {
  readonly #options: OciRuntimeOptions;

  constructor(options: OciRuntimeOptions) {
    this.#options = options;
  }

  /** Throws, in words for who configured it, when this runtime is missing or cannot be started here. */
  async check(): Promise<void> {
    const { program, attach } = this.#options;
    const { exitCode, output } = await attach.run([program, "--version"]);
    if (exitCode === 0) return;
    const said = output.trim().slice(0, 200);
    throw fault(
      "internal",
      { program, exitCode, output: said },
      {
        message: `the OCI runtime ${program} does not work here (exit code ${exitCode}: ${said}); install runc, name another by BANYAN_OCI_RUNTIME, or set BANYAN_SLOT_MAKER=docker`,
      },
    );
  }

  /** Starts a container that lives on; answers the pid of its first process. */
  async run(id: string, bundle: string): Promise<number> {
    const { program, stateDirectory, attach } = this.#options;
    const [log, pidFile] = [`${bundle}/log`, `${bundle}/pid`];
    const command = [program, "--root", stateDirectory, "--log", log, "run", "--detach", "--pid-file", pidFile, "--bundle", bundle, id];
    const { exitCode, output } = await attach.run(["sh", "-c", DETACHED, "sh", ...command], { timeoutMs: RUN_TIMEOUT_MS });
    if (exitCode !== 0) {
      const said = await readFile(log, "utf8").catch(() => output);
      throw fault("node.no_slot", { slot: id, exitCode }, { message: `${program} run failed: ${said.trim().slice(-500)}` });
    }
    return Number(await readFile(pidFile, "utf8"));
  }

  /** Ends it if it runs, and removes its cgroups and state. Absent is success. */
  async remove(id: string): Promise<void> {
    const { program, stateDirectory, attach } = this.#options;
    const command = [program, "--root", stateDirectory, "delete", "--force", id];
    const { exitCode, output } = await attach.run(command, { timeoutMs: DELETE_TIMEOUT_MS });
    if (exitCode !== 0) {
      throw fault("node.no_slot", { slot: id, exitCode }, { message: `${program} delete failed: ${output.trim().slice(-500)}` });
    }
  }
}
