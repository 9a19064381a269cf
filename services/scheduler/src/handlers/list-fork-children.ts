import { type ForkChild, ListForkChildren } from "@banyan/contracts";
import { handle } from "../context.ts";
import { findFork } from "./get-fork.ts";

/** Of one answer: escaped, a control character of an output takes six bytes. */
const ANSWER_BYTES_MAX = 700 * 1024;

export const listForkChildren = handle(ListForkChildren, async (ctx, input) => {
  const fork = await findFork(ctx, input);
  const found = await ctx.store.listForkChildren(fork, input);
  const children = withinBytes(found.children);
  const more = found.more || children.length < found.children.length;
  return { children, nextAfter: more ? (children.at(-1)?.index ?? null) : null };
});

/** At least one, and then as many as fit. */
function withinBytes(children: readonly ForkChild[]): ForkChild[] {
  let bytes = 0;
  const end = children.findIndex((child, at) => {
    bytes += Buffer.byteLength(JSON.stringify(child));
    return at > 0 && bytes > ANSWER_BYTES_MAX;
  });
  return children.slice(0, end === -1 ? children.length : end);
}
