import { finished } from "node:stream/promises";
import { setTimeout as delay } from "node:timers/promises";
import { fault } from "@banyan/contracts";
import type Docker from "dockerode";
import type { PlannedStep } from "../domain/plan.ts";
import { StepFailed } from "../domain/step-failed.ts";
import { BUILD_NETWORK, isNetworkGone } from "./build-network.ts";
import { withContainer } from "./containers.ts";
import { Demultiplexer } from "./demultiplexer.ts";
import type { Engine } from "./engine.ts";
import { asking, engineFault, saidByEngine } from "./engine-fault.ts";
import { LastLines } from "./last-lines.ts";
import { LineSplitter } from "./line-splitter.ts";
import { SECRETS_DIR, STEP_COMMAND, stepInput } from "./step-script.ts";

export interface StepRun {
  step: PlannedStep;
  /** The engine's name of what is below. */
  image: string;
  /** Of the base and of the spec up to here. */
  env: Record<string, string>;
  workdir: string;
  secrets: Record<string, string>;
  limits: { memoryMb: number; cpu: number };
  signal: AbortSignal;
  onLine(stream: "stdout" | "stderr", text: string): void;
}

/** What package managers need to unpack files of many owners and to run their helpers as other users; nothing that reaches the host. */
const CAPABILITIES = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "SETFCAP", "SETGID", "SETUID", "SYS_CHROOT"];
const PIDS_MAX = 4_096;
const MIB = 1024 * 1024;
const NANO = 1e9;
/** Output that is still on its way when the command has ended. */
const DRAIN_MS_MAX = 5_000;
/** The step's own doing: its user, its shell or its working directory is not in the image. */
const CANNOT_START = /unable to find (user|group)|no matching entries|exec: |executable file not found|not a directory|chdir to cwd/i;
const CANNOT_START_EXIT_CODE = 126;
/** How often a step whose output has ended is looked at. */
const LOOK_MS = 1_000;

/** Runs a step's script in a container of the image below it. `keep` gets the container when the script has ended well. */
export async function runStep<T>(engine: Engine, run: StepRun, keep: (container: Docker.Container) => Promise<T>): Promise<T> {
  if (run.step.network === "open") await engine.network.ensure();
  const attempt = () =>
    withContainer(engine, containerOf(engine, run), async (container) => {
      await runIn(engine, container, run);
      return keep(container);
    });
  try {
    return await attempt();
  } catch (error) {
    if (!isNetworkGone(error)) throw error;
    await engine.network.remake();
    return attempt();
  }
}

function containerOf(engine: Engine, { step, image, env, workdir, secrets, limits }: StepRun): Docker.ContainerCreateOptions {
  const memoryBytes = limits.memoryMb * MIB;
  return {
    Image: image,
    Entrypoint: [],
    Cmd: STEP_COMMAND,
    Env: Object.entries(env).map(([name, value]) => `${name}=${value}`),
    User: step.user ?? "0",
    WorkingDir: workdir,
    AttachStdin: true,
    AttachStdout: true,
    AttachStderr: true,
    OpenStdin: true,
    StdinOnce: true,
    Healthcheck: { Test: ["NONE"] },
    HostConfig: {
      Memory: memoryBytes,
      // As much as memory alone: no swap.
      MemorySwap: memoryBytes,
      NanoCpus: Math.round(Math.min(limits.cpu, engine.cpus) * NANO),
      PidsLimit: PIDS_MAX,
      CapDrop: ["ALL"],
      CapAdd: CAPABILITIES,
      SecurityOpt: ["no-new-privileges"],
      NetworkMode: step.network === "open" ? BUILD_NETWORK : "none",
      // Output goes to the builder and nowhere else.
      LogConfig: { Type: "none", Config: {} },
      ...(Object.keys(secrets).length > 0 && { Tmpfs: { [SECRETS_DIR]: "rw,noexec,nosuid,nodev,mode=1777,size=4m" } }),
    },
  };
}

async function runIn(engine: Engine, container: Docker.Container, run: StepRun): Promise<void> {
  const { step } = run;
  const lastLines = new LastLines();
  const time = stepTime(step, run.signal);
  // A container that is not running yet, or no more, cannot be killed; then there is nothing to stop.
  const stop = () => void container.kill().catch(() => {});
  time.signal.addEventListener("abort", stop);
  try {
    const output = await attach(container, (stream, text) => {
      lastLines.add(stream, text);
      run.onLine(stream, text);
    });
    await start(container, step);
    time.signal.throwIfAborted();
    // Before it is told what to do.
    if (step.network === "open") engine.network.isolate();
    output.stdin.end(stepInput({ script: step.script ?? "", secrets: run.secrets, access: engine.access, network: step.network }));
    const exitCode = await exitCodeOf(container, output);
    await output.drain();
    run.signal.throwIfAborted();
    if (exitCode === 0 && !time.isUp()) return;
    const { State } = await asking("look at a step's end", () => container.inspect());
    throw new StepFailed({
      step: step.index,
      exitCode: time.isUp() ? null : exitCode,
      oomKilled: State.OOMKilled,
      timedOut: time.isUp(),
      lastLines: lastLines.get(),
    });
  } catch (error) {
    run.signal.throwIfAborted();
    if (time.isUp() && !(error instanceof StepFailed))
      throw new StepFailed({ step: step.index, exitCode: null, oomKilled: false, timedOut: true, lastLines: lastLines.get() });
    throw error;
  } finally {
    time.end();
    time.signal.removeEventListener("abort", stop);
  }
}

/**
 * The engine's client does not notice when the engine dies while it is waited for. The end of the output is noticed; from then on the engine is
 * asked as well, until it says that the step has ended or cannot be asked.
 */
async function exitCodeOf(container: Docker.Container, output: Attached): Promise<number> {
  let isOver = false;
  const look = async (): Promise<number> => {
    await output.ended;
    while (!isOver) {
      await delay(LOOK_MS, undefined, { ref: false });
      const { State } = await asking("look at a step", () => container.inspect());
      if (!State.Running) return State.ExitCode;
    }
    return 0;
  };
  const waited = asking("wait for a step", () => container.wait()).then(({ StatusCode }: { StatusCode: number }) => StatusCode);
  const looked = look();
  // Of the two only the first one counts.
  looked.catch(() => {});
  waited.catch(() => {});
  try {
    return await Promise.race([waited, looked]);
  } finally {
    isOver = true;
  }
}

interface StepTime {
  /** Ends with the step's own time or with the build. */
  signal: AbortSignal;
  isUp(): boolean;
  end(): void;
}

function stepTime({ timeoutS }: PlannedStep, building: AbortSignal): StepTime {
  const own = new AbortController();
  const timer = timeoutS === null ? null : setTimeout(() => own.abort(fault("build.timeout")), timeoutS * 1000);
  return {
    signal: AbortSignal.any([own.signal, building]),
    isUp: () => own.signal.aborted,
    end: () => timer !== null && clearTimeout(timer),
  };
}

async function start(container: Docker.Container, step: PlannedStep): Promise<void> {
  try {
    await container.start();
  } catch (error) {
    const said = saidByEngine(error);
    if (isNetworkGone(error) || !CANNOT_START.test(said)) throw engineFault("start a step", error);
    throw new StepFailed({ step: step.index, exitCode: CANNOT_START_EXIT_CODE, oomKilled: false, lastLines: [said] }, { cause: error });
  }
}

interface Attached {
  stdin: NodeJS.WritableStream;
  /** Settles when no more output can come. */
  ended: Promise<void>;
  /** What is left of the output of a command that has ended. How it ended is asked of the engine: this never rejects. */
  drain(): Promise<void>;
}

async function attach(container: Docker.Container, onLine: (stream: "stdout" | "stderr", text: string) => void): Promise<Attached> {
  const socket = await asking("attach to a step", () =>
    container.attach({ stream: true, hijack: true, stdin: true, stdout: true, stderr: true }),
  );
  const lines = {
    stdout: new LineSplitter((text) => onLine("stdout", text)),
    stderr: new LineSplitter((text) => onLine("stderr", text)),
  };
  const demultiplexer = new Demultiplexer((stream, bytes) => lines[stream].write(bytes));
  socket.on("data", (chunk: Buffer) => demultiplexer.write(chunk));
  const ended = finished(socket, { writable: false }).catch(() => {});
  return {
    stdin: socket,
    ended,
    async drain() {
      // A process the step left behind may hold the other end of its output.
      await Promise.race([ended, delay(DRAIN_MS_MAX, undefined, { ref: false })]);
      lines.stdout.end();
      lines.stderr.end();
    },
  };
}
