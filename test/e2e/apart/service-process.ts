import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { collect, ROOT } from "../start-banyan.ts";

const READY_MS = 90_000;
const END_MS = 60_000;
const READY_LINE = '"msg":"ready"';

/** One service as a process of its own, by its `src/main.ts`, configured by the environment alone. */
export class ServiceProcess {
  readonly name: string;
  readonly #environment: Record<string, string>;
  #child: ChildProcess | null = null;
  #output = () => "";

  constructor(name: string, environment: Record<string, string>) {
    this.name = name;
    this.#environment = environment;
  }

  /** Resolves when it says that it is ready. */
  async start(): Promise<void> {
    const child = spawn(process.execPath, [join(ROOT, "services", this.name, "src/main.ts")], {
      env: { ...process.env, ...this.#environment },
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#child = child;
    this.#output = collect(child);
    const late = AbortSignal.timeout(READY_MS);
    // "close" comes after the last of its output.
    const ended = once(child, "close", { signal: late }).then(([code, signal]) => `it ended with ${code ?? signal}`);
    const failure = await Promise.race([saysReady(child).then(() => null), ended]).catch(() => `not ready within ${READY_MS} ms`);
    if (failure === null) return;
    await this.kill();
    throw new Error(`${this.name}: ${failure}:\n${this.#output()}`);
  }

  /** kill -9. */
  kill(): Promise<void> {
    return this.#end("SIGKILL");
  }

  /** SIGTERM; by force where that takes too long. */
  async end(): Promise<void> {
    const timer = setTimeout(() => this.#child?.kill("SIGKILL"), END_MS);
    await this.#end("SIGTERM");
    clearTimeout(timer);
  }

  async restart(): Promise<void> {
    await this.kill();
    await this.start();
  }

  get isRunning(): boolean {
    return this.#child !== null && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** The last of what it said. */
  output(): string {
    return this.#output();
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    if (child === null || !this.isRunning) return;
    const ended = once(child, "exit");
    child.kill(signal);
    await ended;
  }
}

function saysReady({ stdout }: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    let tail = "";
    stdout?.on("data", (chunk: string) => {
      tail += chunk;
      if (tail.includes(READY_LINE)) resolve();
      tail = tail.slice(-READY_LINE.length);
    });
  });
}
