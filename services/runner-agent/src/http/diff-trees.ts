import { fault } from "@banyan/contracts";
import { OWN_DIRECTORY, seededFiles, type Trees } from "@banyan/runtime";
import type { StoredSandbox } from "./stored-files.ts";

/** The directories to compare: what the two have below alike is the base, all above it is each one's own. Without another one: its own stack is. */
export async function treesOf(sandbox: StoredSandbox, other: StoredSandbox | null): Promise<Trees> {
  const shared = other === null ? sandbox.layers.length : sharedLayers(sandbox, other);
  if (shared === 0) throw fault("diff.unrelated", { sandboxId: sandbox.sandboxId, against: other?.sandboxId });
  const base = topFirst(sandbox.layers.slice(0, shared).map(({ directory }) => directory));
  const now = ownLayers(sandbox, shared);
  const before = other === null ? [] : ownLayers(other, shared);
  return { now, before, base, leftOut: [OWN_DIRECTORY, ...(await untouchedSeeds(sandbox, other))] };
}

function sharedLayers(one: StoredSandbox, other: StoredSandbox): number {
  const differs = one.layers.findIndex(({ digest }, at) => other.layers[at]?.digest !== digest);
  return differs < 0 ? one.layers.length : differs;
}

function ownLayers({ layers, upper }: StoredSandbox, shared: number): string[] {
  const own = layers.slice(shared).map(({ directory }) => directory);
  return topFirst(upper === null ? own : [...own, upper]);
}

const topFirst = (directories: readonly string[]): string[] => [...directories].reverse();

/** What each one's own start has put there differs between any two sandboxes, and nobody has changed it. */
async function untouchedSeeds(sandbox: StoredSandbox, other: StoredSandbox | null): Promise<string[]> {
  const seeds = await seedsOf(sandbox);
  if (other === null) return seeds;
  const others = await seedsOf(other);
  return seeds.filter((path) => others.includes(path));
}

const seedsOf = async ({ upper }: StoredSandbox): Promise<string[]> => (upper === null ? [] : seededFiles(upper));
