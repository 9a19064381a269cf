import type { LoadedChild } from "../domain/fork.ts";
import { LOADED_PAGE } from "../store/list-fork-children.ts";
import type { Forks } from "./forks.ts";
import { reserveStarting } from "./reservations.ts";

/** Fills the book from the rows of an unfinished fork. Those of its children that may or may not have been sent are sent again as they were. */
export async function takeUp(forks: Forks, forkId: string): Promise<void> {
  const { store, clock, logger } = forks.parts;
  const row = await store.readWholeFork(forkId);
  if (row === null) return;
  const children: LoadedChild[] = [];
  for (;;) {
    const page = await store.loadForkChildren(forkId, children.at(-1)?.index ?? -1);
    children.push(...page);
    if (page.length < LOADED_PAGE) break;
  }
  forks.book.add(row, children, clock.now());
  const fork = forks.book.get(forkId);
  if (fork === undefined) return;
  reserveStarting(forks.parts, fork);
  logger.info({ forkId, state: row.state, children: children.length }, "an unfinished fork goes on");
  forks.kick();
}
