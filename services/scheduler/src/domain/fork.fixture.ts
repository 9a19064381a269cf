import { DEFAULT_LIFETIME, type ForkSpec, type Quota } from "@banyan/contracts";
import { beginningOf, type ForkRow, type LoadedChild } from "./fork.ts";
import type { ForkBook } from "./fork-book.ts";
import type { ForkAction, ForkWrite } from "./fork-steps.ts";
import type { Candidate } from "./place.ts";

export const NO_USAGE: Quota = { sandboxes: 0, cpu: 0, memoryMb: 0 };
const RESOURCES = { cpu: 1, memoryMb: 100, pids: 16, diskMb: 100 };

export const forkSpecOf = (spec: Partial<ForkSpec> = {}): ForkSpec => ({
  count: 4,
  name: null,
  env: {},
  envCycle: {},
  each: [],
  labels: {},
  resources: null,
  network: null,
  lifetime: DEFAULT_LIFETIME,
  volumes: [],
  command: null,
  policy: { kind: "all" },
  after: "keep",
  losers: "keep",
  spread: "auto",
  maxParallel: null,
  retries: 1,
  deadlineS: 1_000,
  ...spec,
});

export const COMMAND: NonNullable<ForkSpec["command"]> = {
  argv: ["/bin/true"],
  env: {},
  cwd: null,
  user: null,
  stdin: null,
  timeoutMs: 1_000,
  outputMaxBytes: 10,
  outputToFiles: false,
};

/** A fork of an image: ready to be planned as soon as it is in the book. */
export function forkRow(spec: Partial<ForkSpec> = {}, row: Partial<ForkRow> = {}): ForkRow {
  const { each, ...shared } = forkSpecOf(spec);
  const layers = [{ digest: `sha256:${"a".repeat(64)}`, sizeBytes: 1 }];
  const config = { env: { PATH: "/bin" }, workdir: "/", user: "root", entrypoint: [], ready: null, resources: {} };
  return {
    id: "frk_1",
    orgId: "org_1",
    source: { kind: "image", image: "default" },
    spec: shared,
    each,
    quota: { sandboxes: 1_000_000, cpu: 1_000_000, memoryMb: 1_000_000_000 },
    template: {
      image: "default",
      parentId: null,
      env: {},
      workdir: null,
      user: null,
      network: { egress: "open", allow: [] },
      resources: RESOURCES,
      volumes: [],
    },
    frozenId: null,
    base: { layers, shipped: layers, nodeId: null, imageId: "img_1", config },
    freeze: null,
    ...beginningOf(shared, 0),
    ...row,
  };
}

export const candidate = (nodeId: string, more: Partial<Candidate> = {}): Candidate => ({
  nodeId,
  reachable: true,
  state: "ready",
  cordoned: false,
  capacity: { cpu: 100, memoryMb: 100_000, diskMb: 100_000, sandboxes: 100 },
  used: { cpu: 0, memoryMb: 0, diskMb: 0, sandboxes: 0 },
  slotsFree: 100,
  waiting: 0,
  layers: new Set(),
  stores: new Set(),
  ...more,
});

/** The rows as the writes leave them, and what these ask to be done. */
export class Rows {
  fork: ForkRow;
  readonly children = new Map<number, LoadedChild>();
  readonly sandboxes = new Map<string, LoadedChild["sandboxState"]>();
  readonly events: ForkWrite["events"] = [];

  constructor(fork: ForkRow) {
    this.fork = fork;
  }

  write(write: ForkWrite): void {
    if (write.head === null) return;
    if (write.fromVersion !== this.fork.version) throw new Error(`write on ${write.fromVersion} of ${this.fork.version}`);
    const { base, freeze } = write.baseChanged ? write.head : this.fork;
    this.fork = { ...this.fork, ...write.head, base, freeze, version: write.version };
    for (const { outcome: _outcome, ...child } of write.children)
      this.children.set(child.index, { ...child, sandboxState: null, sandboxReason: null });
    for (const { sandboxId, state } of write.made) this.sandboxes.set(sandboxId, state);
    for (const { sandboxId, to } of write.ended) if (this.sandboxes.has(sandboxId)) this.sandboxes.set(sandboxId, to);
    this.events.push(...write.events);
  }

  loaded(): LoadedChild[] {
    return [...this.children.values()].map((child) => ({
      ...child,
      sandboxState: child.sandboxId === null ? null : (this.sandboxes.get(child.sandboxId) ?? null),
    }));
  }
}

/** Writes all that waits to be written; answers what is then to be done. */
export function drain(book: ForkBook, rows: Rows): ForkAction[] {
  const actions: ForkAction[] = [];
  for (let write = book.take(rows.fork.id); write !== null; write = book.take(rows.fork.id)) {
    rows.write(write);
    actions.push(...write.actions);
  }
  return actions;
}
