import { z } from "zod";
import { FORK_CHILD_STATES, FORK_STATES, ForkCounts, FreezeWay } from "../fork.ts";
import { LIMITS } from "../limits.ts";
import { DEFAULT_LIFETIME, Env, Labels, Name, Resources, SandboxId, SandboxPath, UserSpec } from "../sandbox.ts";
import { eventHead, eventPage, eventsQuery } from "./events.ts";
import { LifetimeInput, NetworkInput } from "./sandbox.ts";
import { MountInputs } from "./volume.ts";

const noNul = (text: string) => !text.includes("\0");
/** A command travels with its fork to every node, so it is bounded more narrowly than a single exec. */
const Text = z
  .string()
  .min(1)
  .refine(noNul, "no NUL")
  .refine((text) => Buffer.byteLength(text) <= LIMITS.forkCommandBytes, `at most ${LIMITS.forkCommandBytes} bytes`);
const Stdin = z
  .string()
  .refine((text) => Buffer.byteLength(text) <= LIMITS.forkStdinBytes, `at most ${LIMITS.forkStdinBytes} bytes`)
  .describe("Text for standard input; closed after it.");

const VariableName = z
  .string()
  .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, "letters, digits and _, not starting with a digit")
  .max(LIMITS.envKeyLength);
const VariableValue = z
  .string()
  .refine(noNul, "no NUL")
  .refine((value) => Buffer.byteLength(value) <= LIMITS.envValueBytes, `at most ${LIMITS.envValueBytes} bytes a value`);

/** What each child runs, in full; a plain string is a command line for `/bin/sh -c`. */
const ForkCommandInput = z
  .strictObject({
    argv: z
      .array(z.string().refine(noNul, "no NUL"))
      .min(1)
      .max(LIMITS.argvItems)
      .refine(
        (argv) => argv.reduce((sum, item) => sum + Buffer.byteLength(item), 0) <= LIMITS.forkCommandBytes,
        `at most ${LIMITS.forkCommandBytes} bytes in all`,
      )
      .optional()
      .describe("The program and its arguments, run as they are."),
    shell: Text.optional().describe("A command line for `/bin/sh -c`."),
    env: Env.default({}).describe("Only for the command, beside the child's own."),
    cwd: SandboxPath.nullable().default(null).describe("Default: the source's workdir."),
    user: UserSpec.nullable().default(null).describe("Default: the source's user."),
    stdin: Stdin.nullable().default(null),
    timeout_ms: z
      .int()
      .min(1)
      .max(LIMITS.execTimeoutMsMax)
      .nullable()
      .default(null)
      .describe("After this its process tree is killed. Default: the fork's deadline."),
    output_max_bytes: z
      .int()
      .min(0)
      .max(LIMITS.forkOutputBytesMax)
      .default(LIMITS.forkOutputBytesDefault)
      .describe("Of each of stdout and stderr in the result."),
    output_to_files: z
      .boolean()
      .default(false)
      .describe("The whole of both is also kept in the child: /var/tmp/banyan-fork/stdout and stderr."),
  })
  .refine((body) => (body.argv === undefined) !== (body.shell === undefined), "give exactly one of `argv` and `shell`");

const ForkEachInput = z.strictObject({
  env: Env.optional(),
  stdin: Stdin.optional(),
  files: z
    .record(
      SandboxPath,
      z.string().refine((content) => Buffer.byteLength(content) <= LIMITS.forkFileBytes, `at most ${LIMITS.forkFileBytes} bytes a file`),
    )
    .optional()
    .describe("Text by absolute path, written before the command runs."),
});

const ForkPolicyInput = z
  .union([z.enum(["all", "first_success"]), z.strictObject({ best: z.enum(["max", "min"]) })])
  .describe(
    "all: every child runs to its end. first_success: the first that exits with 0 wins, the rest end. {best}: the last line that a child prints is a number, and the largest or smallest wins.",
  );

const fields = {
  count: z
    .int()
    .min(1)
    .max(LIMITS.forkCountMax)
    .optional()
    .describe("How many children. May be left out where `each` says it by its length."),
  name: Name.max(LIMITS.nameLength - 7)
    .nullable()
    .default(null)
    .describe("Children are called `<name>-<index>`."),
  env: Env.default({}).describe("Added to the source's. `{index}`, `{fork}` and `{count}` in values stand for the child's own."),
  env_cycle: z
    .record(VariableName, z.array(VariableValue).min(1).max(10_000))
    .default({})
    .describe("A list by variable: child i gets value i modulo the list's length."),
  each: z.array(ForkEachInput).max(LIMITS.forkEachMax).default([]).describe("What each child has of its own, one entry a child."),
  labels: Labels.default({}),
  limits: z
    .strictObject({
      cpu: Resources.shape.cpu.optional(),
      memory_mb: Resources.shape.memoryMb.optional(),
      pids: Resources.shape.pids.optional(),
      disk_mb: Resources.shape.diskMb.optional(),
    })
    .default({})
    .describe("Of each child. What is not stated is the source's."),
  network: NetworkInput.nullable().default(null).describe("Null: the source's."),
  lifetime: LifetimeInput.extend({ on_idle: z.enum(["stop", "delete"]).default("delete") })
    .default({ idle_timeout_s: DEFAULT_LIFETIME.idleTimeoutS, max_lifetime_s: null, on_idle: "delete", on_expiry: "delete" })
    .describe("Of each child."),
  volumes: MountInputs.default([]).describe(
    "Of each child: put in place of the source's own at the same path, or beside them. The source's others come along as they are declared.",
  ),
  command: z
    .union([Text, ForkCommandInput])
    .nullable()
    .default(null)
    .describe("What each child runs. Without one they only start, and stay."),
  policy: ForkPolicyInput.default("all"),
  after: z
    .enum(["keep", "stop", "delete"])
    .optional()
    .describe("What becomes of a child when its command has ended. Default: stop; keep with `first_success` or without a command."),
  losers: z.enum(["keep", "delete"]).default("delete").describe("What becomes of all but the winner, with a policy that has one."),
  spread: z
    .enum(["auto", "pack", "spread"])
    .default("auto")
    .describe("pack: few nodes, the source's first; spread: as even as can be; auto: wherever slots are free, the source's node first."),
  max_parallel: z
    .int()
    .min(1)
    .max(LIMITS.forkCountMax)
    .nullable()
    .default(null)
    .describe("Children that start or run at once. Null: as many as there is room for."),
  retries: z.int().min(0).max(3).default(1).describe("How often a child whose node was lost is made again on another."),
  deadline_s: z
    .int()
    .min(1)
    .max(LIMITS.forkDeadlineSMax)
    .default(LIMITS.forkDeadlineSDefault)
    .describe("From its creation; then what is unfinished is cancelled."),
};
type Fields = z.infer<z.ZodObject<typeof fields>>;

/** What no single field can say. Each is answered with the path of the field to change. */
function coherent(body: Fields, context: z.RefinementCtx): void {
  const refuse: Refuse = (message, ...path) => context.addIssue({ code: "custom", path, message });
  const { count, each, command } = body;
  if (count === undefined && each.length === 0) refuse("give `count`, or `each` with an entry a child", "count");
  if (count !== undefined && each.length > 0 && each.length !== count) refuse(`must have \`count\` entries, ${count}, or none`, "each");
  if (command === null && body.policy !== "all") refuse("needs a `command`", "policy");
  if (command === null && body.after !== undefined && body.after !== "keep") refuse("needs a `command`", "after");
  const unread = command === null ? each.findIndex(({ stdin }) => stdin !== undefined) : -1;
  if (unread >= 0) refuse("needs a `command`", "each", unread, "stdin");
  refuseVariables(body, refuse);
  if (Buffer.byteLength(JSON.stringify(each)) > LIMITS.forkEachBytes) refuse(`at most ${LIMITS.forkEachBytes} bytes as JSON`, "each");
  else if (Buffer.byteLength(JSON.stringify(body)) > LIMITS.forkSpecBytes) refuse(`at most ${LIMITS.forkSpecBytes} bytes in all`);
}

type Refuse = (message: string, ...path: (string | number)[]) => void;

/** Two that say the same variable: nobody could tell which holds. Of `each` the first fault is told, for the others are like it. */
function refuseVariables({ env, env_cycle: cycle, each }: Fields, refuse: Refuse): void {
  const taken = (name: string, by: object): string | null => {
    if (name.startsWith("BANYAN_")) return "names that begin with BANYAN_ are Banyan's own";
    const [field] = Object.entries(by).find(([, variables]) => Object.hasOwn(variables, name)) ?? [];
    return field === undefined ? null : `is in \`${field}\` too`;
  };
  const refuseAll = (names: string[], by: object, ...path: (string | number)[]): boolean => {
    const faults = names.flatMap((name) => {
      const message = taken(name, by);
      return message === null ? [] : [{ name, message }];
    });
    for (const { name, message } of faults) refuse(message, ...path, name);
    return faults.length > 0;
  };
  refuseAll(Object.keys(env), {}, "env");
  refuseAll(Object.keys(cycle), { env }, "env_cycle");
  each.some(({ env: own = {} }, index) => refuseAll(Object.keys(own), { env, env_cycle: cycle }, "each", index, "env"));
}

/** `POST /v1/sandboxes/{id}/forks` */
export const ForkSandboxBody = z.strictObject(fields).superRefine(coherent);
export type ForkSandboxBody = z.infer<typeof ForkSandboxBody>;
export type ForkSandboxInput = z.input<typeof ForkSandboxBody>;

const named = z.string().min(1).max(255);
export const ForkSourceInput = z.union([
  z.strictObject({ sandbox: SandboxId }),
  z.strictObject({ image: named.describe("The name or id of an image.") }),
  z.strictObject({ snapshot: named.describe("The name or id of a snapshot.") }),
]);

/** `POST /v1/forks` */
export const CreateForkBody = z.strictObject({ source: ForkSourceInput, ...fields }).superRefine(coherent);
export type CreateForkBody = z.infer<typeof CreateForkBody>;

export const CancelForkBody = z.strictObject({
  delete_children: z.boolean().default(false).describe("Also those that have ended or were to be kept."),
});
export const PromoteBody = z.strictObject({
  force: z.boolean().default(false).describe("Also where the parent's own files have changed since the fork: those changes are lost."),
});

export const Fork = z.object({
  id: z.string(),
  source: z.object({ sandbox: z.string().optional(), image: z.string().optional() }).describe("One of them."),
  state: z
    .enum(FORK_STATES)
    .describe("preparing: the source is frozen; running; ending: its outcome is settled, the rest goes; then done, cancelled or failed."),
  state_reason: z
    .string()
    .nullable()
    .describe("Why it ended as it did, or what it waits for: `no_room`, `none_fits`, `over_capacity`, `quota`, `deadline`, …"),
  name: z.string().nullable(),
  labels: z.record(z.string(), z.string()),
  includes: z.array(z.string()).describe("What children have of the source: `files`, `volumes`. Never its processes, memory or tokens."),
  freeze: z
    .object({
      way: FreezeWay.describe("none: there was nothing to freeze; stopped: nothing ran; restack or copy of a running one."),
      paused_ms: z.number().describe("How long its processes stood still."),
      skipped: z.array(z.string()).describe("Sockets and the like, which no layer can hold."),
    })
    .nullable()
    .describe("Null until it is done."),
  counts: ForkCounts.describe("Every child is in exactly one of them."),
  in_waves: z.boolean().describe("Not all at once, for want of room or quota or by `max_parallel`: they run as others end."),
  max_parallel: z.int().nullable(),
  policy: ForkPolicyInput,
  after: z.enum(["keep", "stop", "delete"]),
  has_command: z.boolean(),
  winner: z
    .object({ index: z.int(), sandbox_id: z.string().nullable().optional() })
    .nullable()
    .describe("With a policy that has one. `sandbox_id` is left out of lists."),
  created_at: z.iso.datetime(),
  started_at: z.iso.datetime().nullable(),
  ended_at: z.iso.datetime().nullable(),
  deadline_at: z.iso.datetime(),
  fix: z.string().describe("The next call that would help."),
});
export type Fork = z.infer<typeof Fork>;
export const ForkPage = z.object({ forks: z.array(Fork), next_cursor: z.string().nullable() });

export const ChangeSummary = z.object({
  added: z.int(),
  changed: z.int(),
  deleted: z.int(),
  bytes: z.int().describe("Of what was added and changed."),
});

export const ForkChild = z.object({
  index: z.int(),
  sandbox_id: z.string().nullable().describe("Null until it is sent to a node; another one after a retry."),
  node_id: z.string().nullable(),
  state: z.enum(FORK_CHILD_STATES),
  attempts: z.int().describe("Starts begun so far."),
  outcome: z
    .object({
      exit_code: z.int().nullable(),
      signal: z.string().nullable(),
      timed_out: z.boolean(),
      oom_killed: z.boolean().describe("The kernel killed something of it for memory: raise `limits.memory_mb`."),
      duration_ms: z.number(),
      stdout: z.string(),
      stderr: z.string(),
      stdout_bytes: z.int().describe("Bytes produced, shown or not."),
      stderr_bytes: z.int(),
      stdout_truncated: z.boolean(),
      stderr_truncated: z.boolean(),
      changes: ChangeSummary.nullable().describe("Paths that differ from the fork point; null where they could not be counted."),
    })
    .nullable()
    .describe("How its command ended."),
  score: z.number().nullable().describe("With the policy `best`."),
  error: z.object({ code: z.string(), message: z.string() }).nullable(),
  start_ms: z.number().nullable().describe("From the sending of its batch to its start."),
  started_at: z.iso.datetime().nullable(),
  ended_at: z.iso.datetime().nullable(),
});
export type ForkChild = z.infer<typeof ForkChild>;
export const ForkChildPage = z.object({ children: z.array(ForkChild), next_after: z.int().nullable() });

/** `GET /v1/forks/{id}/children` */
export const ForkChildrenQuery = z.strictObject({
  state: z.array(z.enum(FORK_CHILD_STATES)).max(FORK_CHILD_STATES.length).default([]).describe("Repeated: any of them."),
  after: z.coerce.number().int().min(-1).max(LIMITS.forkCountMax).default(-1).describe("Only those with a higher index."),
  limit: z.coerce.number().int().min(1).max(LIMITS.forkChildrenPage).default(100),
});

export const ForkEvent = z.discriminatedUnion("event", [
  z.object({ ...eventHead, event: z.literal("state"), state: z.enum(FORK_STATES), reason: z.string().nullable() }),
  z.object({
    ...eventHead,
    event: z.literal("children"),
    counts: ForkCounts,
    children: z
      .array(
        z.object({
          index: z.int(),
          sandbox_id: z.string().nullable(),
          state: z.enum(FORK_CHILD_STATES),
          exit_code: z.int().nullable(),
          score: z.number().nullable(),
        }),
      )
      .describe("Those whose state has changed."),
  }),
]);
export type ForkEvent = z.infer<typeof ForkEvent>;
export const ForkEventPage = eventPage(ForkEvent);

/** `GET /v1/forks/{id}/events` */
export const ForkEventsQuery = eventsQuery(LIMITS.forkEventsPage);

/** What `POST /v1/sandboxes/{child}/promote` answers. */
export const Promotion = z.object({
  parent_id: z.string().describe("It goes on from the child's files under its own id and addresses; what ran in it has ended."),
  child_id: z.string(),
  state: z.enum(["running", "stopped"]).describe("The parent's, as it was before."),
  epoch: z.int(),
});
export type Promotion = z.infer<typeof Promotion>;

/** `GET /v1/sandboxes/{id}/lineage` */
export const Lineage = z.object({
  root_id: z.string(),
  sandboxes: z
    .array(
      z.object({
        id: z.string(),
        parent_id: z.string().nullable(),
        fork_id: z.string().nullable(),
        index: z.int().nullable(),
        name: z.string().nullable(),
        state: z.string(),
        created_at: z.iso.datetime(),
        promotions: z
          .array(z.object({ child_id: z.string(), at: z.iso.datetime(), forced: z.boolean() }))
          .describe("Whose files it took over, the last first."),
      }),
    )
    .describe("By breadth from the root."),
  forks: z.array(z.object({ id: z.string(), parent_id: z.string().nullable(), state: z.enum(FORK_STATES), counts: ForkCounts })),
  truncated: z.boolean().describe("The tree is larger than one answer."),
});
export type Lineage = z.infer<typeof Lineage>;
