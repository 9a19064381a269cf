import { z } from "zod";
import { LIMITS } from "../limits.ts";
import { Env, SandboxPath, UserSpec } from "../sandbox.ts";

const noNul = (text: string) => !text.includes("\0");
const Argv = z
  .array(z.string().refine(noNul, "no NUL"))
  .min(1)
  .max(LIMITS.argvItems)
  .refine(
    (argv) => argv.reduce((sum, item) => sum + Buffer.byteLength(item), 0) <= LIMITS.argvBytes,
    `at most ${LIMITS.argvBytes} bytes in all`,
  );
const Shell = z
  .string()
  .min(1)
  .refine(noNul, "no NUL")
  .refine((text) => Buffer.byteLength(text) <= LIMITS.argvBytes, `at most ${LIMITS.argvBytes} bytes`);

const command = {
  argv: Argv.optional().describe("The program and its arguments, run as they are."),
  shell: Shell.optional().describe("A command line for `/bin/sh -c`."),
  env: Env.default({}).describe("Added to the sandbox's own."),
  cwd: SandboxPath.optional().describe("Default: the sandbox's workdir."),
  user: UserSpec.optional().describe("Default: the sandbox's user."),
  timeout_ms: z
    .int()
    .min(1)
    .max(LIMITS.execTimeoutMsMax)
    .optional()
    .describe("After this the whole process tree is killed. Default: 5 minutes; background: none."),
};
const exactlyOne = (body: { argv?: unknown; shell?: unknown }) => (body.argv === undefined) !== (body.shell === undefined);
const EXACTLY_ONE = "give exactly one of `argv` and `shell`";

/** `POST /v1/sandboxes/{id}/exec`. With `Accept: text/event-stream` the same as a stream of ExecEvents. */
export const ExecBody = z
  .strictObject({
    ...command,
    stdin: z.string().optional().describe("Text for standard input; closed after it."),
    stdin_base64: z.base64().optional().describe("The same for bytes."),
    output_max_bytes: z
      .int()
      .min(0)
      .max(LIMITS.execOutputBytesMax)
      .default(LIMITS.execOutputBytesDefault)
      .describe("Of each of stdout and stderr."),
  })
  .refine(exactlyOne, EXACTLY_ONE)
  .refine((body) => body.stdin === undefined || body.stdin_base64 === undefined, "give at most one of `stdin` and `stdin_base64`");
export type ExecBody = z.infer<typeof ExecBody>;
export type ExecInput = z.input<typeof ExecBody>;

/** How a command ended. Exactly one of exit_code and signal is set. */
export const ExecEnd = z.object({
  exit_code: z.int().nullable(),
  signal: z.string().nullable().describe("The signal's name, `SIGKILL`, where one ended it."),
  timed_out: z.boolean(),
  oom_killed: z.boolean().describe("Something in the sandbox was killed for memory while this ran, and this ended by SIGKILL."),
  duration_ms: z.number(),
  stdout_bytes: z.int().describe("Bytes produced, shown or not."),
  stderr_bytes: z.int(),
  stdout_truncated: z.boolean(),
  stderr_truncated: z.boolean(),
});
export const ExecResult = ExecEnd.extend({
  stdout: z.string().describe("UTF-8; what is not valid is replaced by U+FFFD."),
  stderr: z.string(),
  timing: z.object({ queue_ms: z.number(), exec_ms: z.number(), total_ms: z.number() }),
});
export type ExecResult = z.infer<typeof ExecResult>;

/** The events of the stream: `stdout`, `stderr` (data: {text} or {base64} where not UTF-8), `exit` (data: ExecEnd), `error` (data: a problem document). */
export const ExecChunk = z.union([z.object({ text: z.string() }), z.object({ base64: z.base64() })]);

/** `POST /v1/sandboxes/{id}/processes`: starts in the background. */
export const SpawnBody = z
  .strictObject({
    ...command,
    id: z
      .string()
      .regex(/^[A-Za-z0-9_-]{1,64}$/, "letters, digits, - and _")
      .optional()
      .describe("Default: made up."),
    stdin: z.boolean().default(false).describe("Whether input will be written later."),
  })
  .refine(exactlyOne, EXACTLY_ONE);
export type SpawnInput = z.input<typeof SpawnBody>;

export const Process = z.object({
  id: z.string(),
  pid: z.int(),
  state: z.enum(["running", "exited"]),
  exit_code: z.int().nullable(),
  signal: z.string().nullable(),
  timed_out: z.boolean(),
  started_at: z.iso.datetime(),
  ended_at: z.iso.datetime().nullable(),
  stdout_bytes: z.int(),
  stderr_bytes: z.int(),
});
export type Process = z.infer<typeof Process>;
export const ProcessList = z.object({ processes: z.array(Process) });

/** `POST …/processes/{pid}/signal` */
export const SignalBody = z.strictObject({
  signal: z.union([z.int().min(1).max(64), z.string().regex(/^SIG[A-Z0-9+]+$/)]).default("SIGTERM"),
  tree: z.boolean().default(false).describe("To every descendant too."),
});
/** `POST …/processes/{pid}/stdin?close=`: the body's bytes go to its standard input; with close=true that ends after them. */
export const StdinQuery = z.strictObject({ close: z.enum(["true", "false"]).default("false") });
/** `POST …/processes/{pid}/wait`: the Process once it has ended. */
export const WaitBody = z.strictObject({ timeout_ms: z.int().min(0).max(300_000).default(30_000) });

/**
 * `GET …/processes/{pid}/stdout|stderr?offset=&limit=&follow=`: raw bytes from an offset; the header `x-banyan-next-offset` says where to go on,
 * `x-banyan-state` whether the process runs. With follow=true the body goes on until the process ends.
 */
export const OutputQuery = z.strictObject({
  offset: z.coerce.number().int().min(0).default(0),
  limit: z.coerce.number().int().min(1).optional(),
  follow: z.enum(["true", "false"]).default("false"),
});

/**
 * `GET /v1/sandboxes/{id}/pty` upgraded to WebSocket. Query: `cols`, `rows`, `shell` or repeated `argv`, `cwd`, `user`. Binary frames are terminal bytes both ways;
 * text frames are control: {"type":"resize","cols","rows"} up, {"type":"exit",...ExecEnd} down.
 */
export const PtyQuery = z.strictObject({
  cols: z.coerce.number().int().min(1).max(1000).default(80),
  rows: z.coerce.number().int().min(1).max(1000).default(24),
  shell: z.string().optional(),
  cwd: SandboxPath.optional(),
  user: UserSpec.optional(),
});
export const PtyControl = z.strictObject({ type: z.literal("resize"), cols: z.int().min(1).max(1000), rows: z.int().min(1).max(1000) });
