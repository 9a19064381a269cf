import { appendFileSync, existsSync, readFileSync } from "node:fs";

/** What the stub nodes of one process hold, by node and sandbox; kept in a file, so that a killed process finds it again. */
export interface StubJournal {
  /** By node: the epoch that each sandbox there was started with. */
  readonly held: Map<string, Map<string, number>>;
  started(nodeId: string, sandboxes: readonly { sandboxId: string; epoch: number }[]): void;
  deleted(nodeId: string, sandboxes: readonly { sandboxId: string; epoch: number }[]): void;
  /** Whether a delete of this epoch or a later one has been here. */
  wasDeleted(sandboxId: string, epoch: number): boolean;
}

export function openStubJournal(path: string): StubJournal {
  const held = new Map<string, Map<string, number>>();
  const deletedUpTo = new Map<string, number>();
  const apply = (kind: string, nodeId: string, sandboxId: string, epoch: number): void => {
    const node = held.get(nodeId) ?? new Map<string, number>();
    held.set(nodeId, node);
    if (kind === "start") {
      node.set(sandboxId, epoch);
    } else {
      node.delete(sandboxId);
      deletedUpTo.set(sandboxId, epoch);
    }
  };
  if (existsSync(path)) {
    const lines = readFileSync(path, "utf8").split("\n");
    // The last line may be half written: what it says was never answered.
    for (const line of lines.slice(0, -1)) {
      const [kind = "", nodeId = "", sandboxId = "", epoch = ""] = line.split(" ");
      apply(kind, nodeId, sandboxId, Number(epoch));
    }
  }
  const write = (kind: string, nodeId: string, sandboxes: readonly { sandboxId: string; epoch: number }[]): void => {
    appendFileSync(path, sandboxes.map(({ sandboxId, epoch }) => `${kind} ${nodeId} ${sandboxId} ${epoch}\n`).join(""));
    for (const { sandboxId, epoch } of sandboxes) apply(kind, nodeId, sandboxId, epoch);
  };
  return {
    held,
    started: (nodeId, sandboxes) => write("start", nodeId, sandboxes),
    deleted: (nodeId, sandboxes) => write("delete", nodeId, sandboxes),
    wasDeleted: (sandboxId, epoch) => (deletedUpTo.get(sandboxId) ?? -1) >= epoch,
  };
}

/** By node, the sandboxes it holds. */
export const listOf = ({ held }: StubJournal): [nodeId: string, sandboxIds: string[]][] =>
  Array.from(held, ([nodeId, node]) => [nodeId, [...node.keys()]]);
