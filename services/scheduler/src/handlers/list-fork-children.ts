import { type ForkChild, ListForkChildren } from "@banyan/contracts";
import { handle } from "../context.ts";
import { findFork } from "./get-fork.ts";

/** Of the answer, for outcomes: a message has a bound of its own. */
const PAGE_BYTES_MAX = 512 * 1024;

export const listForkChildren = handle(ListForkChildren, async (ctx, input) => {
  const fork = await findFork(ctx, input);
  const found = await ctx.store.listForkChildren(fork, input);
  const children = withinBytes(found.slice(0, input.limit));
  return { children, nextAfter: found.length > children.length ? (children.at(-1)?.index ?? null) : null };
});

/** At least one, and then as many as fit. */
function withinBytes(children: readonly ForkChild[]): ForkChild[] {
  let bytes = 0;
  const end = children.findIndex((child, at) => {
    bytes += Buffer.byteLength(JSON.stringify(child));
    return at > 0 && bytes > PAGE_BYTES_MAX;
  });
  return children.slice(0, end === -1 ? children.length : end);
}
