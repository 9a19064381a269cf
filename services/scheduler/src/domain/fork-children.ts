import { type ForkCommand, type ForkEach, hostnameOf, type MountOrder, type StackLayer, type StartManyOrder } from "@banyan/contracts";
import type { ForkRow } from "./fork.ts";

/** What one child has of its own. */
export interface OwnParts {
  name: string | null;
  /** Beyond what all share. */
  env: Record<string, string>;
  stdin: string | undefined;
  files: Record<string, string> | undefined;
}

/** What makes these variables differ from child to child. */
const PLACEHOLDER = /\{(index|fork|count)\}/g;
/** In a message, beyond a child's own parts: ids, keys, quotes. */
const CHILD_BYTES = 200;

/** Children of one fork, made from its row alone: the same row makes the same children, however often they are sent. */
export class ForkChildren {
  readonly #row: ForkRow;
  /** The same for all: the parent's, the fork's, and who they are. */
  readonly sharedEnv: Record<string, string>;
  /** Values with an `{index}`. */
  readonly #patterns: [string, string][];
  readonly #cycles: [string, string[]][];

  constructor(row: ForkRow) {
    this.#row = row;
    const { env, envCycle, count } = row.spec;
    const fill = (value: string): string =>
      value.replace(PLACEHOLDER, (whole, key) => ({ fork: row.id, count: String(count) })[key as string] ?? whole);
    const own = Object.entries(env).map(([key, value]): [string, string] => [key, fill(value)]);
    const isPattern = ([, value]: [string, string]): boolean => value.includes("{index}");
    this.#patterns = own.filter(isPattern);
    this.#cycles = Object.entries(envCycle);
    const inherited = Object.entries(row.template.env).filter(([key]) => !key.startsWith("BANYAN_FORK_") && key !== "BANYAN_PARENT_ID");
    this.sharedEnv = {
      ...Object.fromEntries(inherited),
      ...Object.fromEntries(own.filter((entry) => !isPattern(entry))),
      BANYAN_FORK_ID: row.id,
      BANYAN_FORK_COUNT: String(count),
      ...(row.template.parentId !== null && { BANYAN_PARENT_ID: row.template.parentId }),
    };
  }

  own(index: number): OwnParts {
    const each: ForkEach = this.#row.each[index] ?? {};
    const env: Record<string, string> = { BANYAN_FORK_INDEX: String(index) };
    for (const [key, value] of this.#patterns) env[key] = value.replaceAll("{index}", String(index));
    for (const [key, values] of this.#cycles) env[key] = values[index % values.length] ?? "";
    Object.assign(env, each.env);
    const { name } = this.#row.spec;
    return { name: name === null ? null : `${name}-${index}`, env, stdin: each.stdin, files: each.files };
  }

  /** About how much of a message a child takes. */
  bytes(index: number): number {
    const each = this.#row.each[index];
    let bytes = CHILD_BYTES;
    for (const [key, value] of this.#patterns) bytes += key.length + value.length + CHILD_BYTES / 20;
    for (const [key, values] of this.#cycles) bytes += key.length + (values[index % values.length]?.length ?? 0) + CHILD_BYTES / 20;
    return each === undefined ? bytes : bytes + Buffer.byteLength(JSON.stringify(each));
  }

  /** The message that has these started. The base must be known. */
  order(
    nodeId: string,
    children: readonly { index: number; sandboxId: string }[],
    { mounts, slotWaitMs }: { mounts: MountOrder[]; slotWaitMs: number },
  ): StartManyOrder {
    const { id, orgId, spec, base, template } = this.#row;
    if (base === null) throw new RangeError(`${id} has no base yet`);
    return {
      forkId: id,
      orgId,
      layers: this.layers(nodeId),
      env: { ...base.config.env, ...this.sharedEnv },
      workdir: template.workdir ?? base.config.workdir,
      user: template.user ?? base.config.user,
      resources: template.resources,
      network: template.network,
      mounts,
      command: spec.command === null ? null : commandOf(spec.command, spec.after),
      deadlineMs: slotWaitMs,
      children: children.map(({ index, sandboxId }) => {
        const { name, env, stdin, files } = this.own(index);
        const hostname = hostnameOf(sandboxId, { hostname: null, name });
        return { index, sandboxId, epoch: 1, hostname, env, ...(stdin !== undefined && { stdin }), ...(files !== undefined && { files }) };
      }),
    };
  }

  /** What its children stand on there. */
  layers(nodeId: string): StackLayer[] {
    const { base } = this.#row;
    if (base === null) return [];
    return nodeId === base.nodeId || base.shipped === null ? base.layers : base.shipped;
  }
}

const commandOf = (command: ForkCommand, after: ForkRow["spec"]["after"]): StartManyOrder["command"] => ({ ...command, after });
