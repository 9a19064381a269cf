import { type ForkBase, isFrozen } from "@banyan/contracts";
import type { Sandbox } from "./sandbox.ts";

/** Whether a parent's files are as they were at the fork: known by its row alone, to be asked of its node, or not to be known any more. */
export type ParentChange =
  | { kind: "unchanged" }
  /** With the first of these that its node has or can have: the frozen layer goes with the last child beside it, what was shipped of it stays. */
  | { kind: "compare"; layers: string[] }
  | { kind: "unknown"; why: string };

export function parentChange(
  { stack, hasDisk }: Pick<Sandbox, "stack" | "hasDisk">,
  base: Pick<ForkBase, "layers" | "shipped"> | null,
): ParentChange {
  if (base === null) return unknown("what its files were at the fork is not kept any more");
  const own = base.layers.at(-1);
  const frozen = own !== undefined && isFrozen(own.digest) ? own.digest : null;
  const below = frozen === null ? base.layers : base.layers.slice(0, -1);
  if (!isSame(stack.layers, below)) return unknown("its files have been archived, or replaced by a promotion, since the fork");
  if (frozen !== null) {
    // A stack that was flattened on its way has no layer for the parent's files alone.
    const shipped = base.shipped?.length === base.layers.length ? base.shipped.at(-1) : undefined;
    const layers = [frozen, ...(shipped === undefined ? [] : [shipped.digest])];
    return hasDisk ? { kind: "compare", layers } : unknown("it has no disk to compare");
  }
  return hasDisk ? unknown("it has run since the fork, of which it had no disk") : { kind: "unchanged" };
}

const unknown = (why: string): ParentChange => ({ kind: "unknown", why });

const isSame = (one: readonly { digest: string }[], other: readonly { digest: string }[]): boolean =>
  one.length === other.length && one.every(({ digest }, i) => digest === other[i]?.digest);
