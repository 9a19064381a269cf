import { fault } from "@banyan/contracts";
import { z } from "zod";
import { clientGone } from "../events/follow-events.ts";
import type { Gateway } from "./gateway.ts";
import type { Started } from "./started.ts";

/**
 * What an image has done after every start: its entrypoint runs in the background, and its ready check passes. All of it goes through the data
 * plane, as a caller's own requests do.
 */
type Doing = Pick<Gateway, "askInside" | "clock">;
type Image = Started["image"];
type Check = NonNullable<Image["ready"]>;
/** Null: it passed. Else what was seen instead. */
type Seen = string | null;

const ENTRYPOINT_ID = "entrypoint";
const PAUSE_MIN_MS = 20;
const PAUSE_MAX_MS = 500;
const PAUSE_GROWTH = 1.5;
/** A look that hangs is not the last one. */
const LOOK_MAX_MS = 10_000;
/** The last look has little time left; cut shorter, it would tell of its own end and not of what is to be seen. */
const LOOK_MIN_MS = 500;
/** A refusal comes at once; who says nothing for so long has accepted. */
const PORT_SILENCE_MS = 1_000;
const SEEN_MAX = 1_000;

/** False for nearly all sandboxes, which then cost nothing here. */
export const needsBringUp = ({ image }: Started): boolean => image.ready !== null || image.entrypoint.length > 0;

/** Answers how long it took. Throws sandbox.ready_failed with what was seen last. */
export async function bringUp(gateway: Doing, started: Started, gone: AbortSignal): Promise<number> {
  const { clock } = gateway;
  const { image } = started;
  const beganMs = clock.monotonicMs();
  const inside = { gateway, started, gone };
  const trouble = image.entrypoint.length > 0 ? await runEntrypoint(inside, image.entrypoint) : null;
  if (trouble !== null) throw failed(inside, { entrypoint: image.entrypoint }, trouble);
  if (image.ready !== null) await untilReady(inside, image.ready, beganMs);
  return clock.monotonicMs() - beganMs;
}

interface Inside {
  gateway: Doing;
  started: Started;
  gone: AbortSignal;
}

function failed({ started }: Inside, check: object, seen: string) {
  return fault("sandbox.ready_failed", { sandboxId: started.sandbox.id, check, seen: seen.slice(-SEEN_MAX) });
}

const Told = z.object({ detail: z.string() });
const toldBy = (body: unknown): string | undefined => Told.safeParse(body).data?.detail;

async function ask(
  { gateway, started, gone }: Inside,
  request: { method: "GET" | "HEAD" | "POST"; path: string; json?: object; timeoutMs?: number },
) {
  return gateway.askInside(started.route, { timeoutMs: LOOK_MAX_MS, ...request, signal: gone });
}

async function runEntrypoint(inside: Inside, argv: string[]): Promise<Seen> {
  const answer = await ask(inside, { method: "POST", path: "/processes", json: { id: ENTRYPOINT_ID, argv } });
  if ("error" in answer) return answer.error;
  // A repeated create finds the one the first had started.
  return answer.status < 300 || answer.code === "process.exists" ? null : (toldBy(answer.body) ?? `it was answered ${answer.status}`);
}

async function untilReady(inside: Inside, check: Check, beganMs: number): Promise<void> {
  const { clock } = inside.gateway;
  const endsMs = beganMs + check.timeout_ms;
  let seen: Seen = "nothing";
  let pauseMs = PAUSE_MIN_MS;
  for (let leftMs = check.timeout_ms; leftMs > 0; leftMs = endsMs - clock.monotonicMs()) {
    seen = await look(inside, check, Math.min(Math.max(leftMs, LOOK_MIN_MS), LOOK_MAX_MS));
    if (seen === null) return;
    if (inside.gone.aborted) throw clientGone();
    await clock.sleep(Math.min(pauseMs, Math.max(0, endsMs - clock.monotonicMs())));
    pauseMs = Math.min(PAUSE_MAX_MS, pauseMs * PAUSE_GROWTH);
  }
  throw failed(inside, check, `${seen}${await entrypointEnd(inside)}`);
}

function look(inside: Inside, { command, port, file }: Check, timeoutMs: number): Promise<Seen> {
  if (command !== undefined) return lookByCommand(inside, command, timeoutMs);
  if (port !== undefined) return lookAtPort(inside, port);
  return lookForFile(inside, file ?? "/", timeoutMs);
}

const Ended = z.object({ exit_code: z.int().nullable(), signal: z.string().nullable(), stdout: z.string(), stderr: z.string() });

async function lookByCommand(inside: Inside, shell: string, timeoutMs: number): Promise<Seen> {
  // The node kills what takes longer, and is given a moment to say so.
  const json = { shell, timeout_ms: Math.max(1, Math.floor(timeoutMs)) };
  const answer = await ask(inside, { method: "POST", path: "/exec", json, timeoutMs: timeoutMs + LOOK_MAX_MS });
  if ("error" in answer) return answer.error;
  const ended = Ended.safeParse(answer.body).data;
  if (ended === undefined) return toldBy(answer.body) ?? `the command was answered ${answer.status}`;
  if (ended.exit_code === 0) return null;
  return `the command ended with ${ended.exit_code ?? ended.signal}: ${ended.stdout}${ended.stderr}`.trim();
}

/** Whoever accepts the connection is there, whether or not it speaks HTTP. */
async function lookAtPort(inside: Inside, port: number): Promise<Seen> {
  const answer = await ask(inside, { method: "HEAD", path: `/ports/${port}/`, timeoutMs: PORT_SILENCE_MS });
  if ("error" in answer) return answer.timedOut ? null : answer.error;
  if (answer.code === null || answer.code === "port.no_answer") return null;
  return answer.code === "port.refused" ? `nothing listens on port ${port}` : `the look was answered ${answer.code}`;
}

async function lookForFile(inside: Inside, file: string, timeoutMs: number): Promise<Seen> {
  const answer = await ask(inside, { method: "GET", path: `/files/stat?path=${encodeURIComponent(file)}`, timeoutMs });
  if ("error" in answer) return answer.error;
  return answer.status < 300 ? null : (toldBy(answer.body) ?? `the look was answered ${answer.status}`);
}

const Process = z.object({ state: z.string(), exit_code: z.int().nullable(), signal: z.string().nullable() });

/** An entrypoint that gave up explains much. */
async function entrypointEnd(inside: Inside): Promise<string> {
  if (inside.started.image.entrypoint.length === 0) return "";
  const answer = await ask(inside, { method: "GET", path: `/processes/${ENTRYPOINT_ID}` });
  const process = "error" in answer ? undefined : Process.safeParse(answer.body).data;
  if (process?.state !== "exited") return "";
  return `; the entrypoint had ended with ${process.exit_code ?? process.signal}`;
}
