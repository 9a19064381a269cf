import type { Lineage } from "@banyan/sdk";
import { countsText } from "./fork-progress.ts";

type Member = Lineage["sandboxes"][number];
type ForkOf = Lineage["forks"][number];

/** A line of the tree with what hangs below it. */
interface Branch {
  text: string;
  below: Branch[];
}

/** Children of one fork beyond which only those with something to tell are named. */
export const NAMED_MAX = 20;

/** The tree of forks, drawn; `here` is marked. */
export function treeText(lineage: Lineage, here: string, namedMax = NAMED_MAX): string {
  const root = lineage.sandboxes.find(({ id }) => id === lineage.rootId);
  if (root === undefined) return lineage.rootId;
  const lines = draw(sandboxBranch(root, lineage, here, namedMax), "", "");
  return [...lines, ...(lineage.truncated ? ["… the tree is larger than one answer"] : [])].join("\n");
}

function sandboxBranch(sandbox: Member, lineage: Lineage, here: string, namedMax: number): Branch {
  const { id, index, name, state, promotions } = sandbox;
  const promoted = promotions[0] && `took over ${promotions[0].childId}`;
  const parts = [index === null ? null : `#${index}`, id, name, state, promoted, id === here ? "← here" : null];
  const below = forksOf(id, lineage).map((fork) => forkBranch(fork, lineage, here, namedMax));
  return { text: parts.filter((part) => part !== null && part !== undefined).join("  "), below };
}

/** Forks whose own record is gone are known by their children. */
function forksOf(parentId: string, { forks, sandboxes }: Lineage): { id: string; fork: ForkOf | undefined }[] {
  const ids = new Set([
    ...forks.filter((fork) => fork.parentId === parentId).map(({ id }) => id),
    ...sandboxes.flatMap(({ parentId: of, forkId }) => (of === parentId && forkId !== null ? [forkId] : [])),
  ]);
  return [...ids].toSorted().map((id) => ({ id, fork: forks.find((fork) => fork.id === id) }));
}

function forkBranch({ id, fork }: { id: string; fork: ForkOf | undefined }, lineage: Lineage, here: string, namedMax: number): Branch {
  const children = lineage.sandboxes.filter(({ forkId }) => forkId === id).toSorted((a, b) => (a.index ?? 0) - (b.index ?? 0));
  const branches = children.map((child) => ({ child, branch: sandboxBranch(child, lineage, here, namedMax) }));
  const named =
    children.length <= namedMax
      ? branches
      : branches.filter(({ child, branch }) => branch.below.length > 0 || isTold(child, lineage, here));
  const rest = branches.filter((one) => !named.includes(one)).map(({ child }) => child);
  const below = named.map(({ branch }) => branch);
  if (rest.length > 0) below.push({ text: `… ${rest.length} more: ${statesText(rest)}`, below: [] });
  return { text: fork === undefined ? id : `${id}  ${fork.state}  ${countsText(fork.counts)}`, below };
}

const isTold = ({ id }: Member, { sandboxes }: Lineage, here: string): boolean =>
  id === here || sandboxes.some(({ promotions }) => promotions.some(({ childId }) => childId === id));

function statesText(sandboxes: readonly Member[]): string {
  const counts = new Map<string, number>();
  for (const { state } of sandboxes) counts.set(state, (counts.get(state) ?? 0) + 1);
  return [...counts].map(([state, count]) => `${count} ${state}`).join(", ");
}

function draw({ text, below }: Branch, first: string, others: string): string[] {
  const lines = below.flatMap((branch, index) => {
    const isLast = index === below.length - 1;
    return draw(branch, `${others}${isLast ? "└─ " : "├─ "}`, `${others}${isLast ? "   " : "│  "}`);
  });
  return [`${first}${text}`, ...lines];
}
