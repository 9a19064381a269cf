import type { Lifetime, Quota, Resources, SandboxState } from "@banyan/contracts";
import type { Lived } from "../domain/lifetime.ts";
import type { Amounts } from "../domain/place.ts";
import { chargeOf, isActive } from "../domain/quota.ts";
import type { Sandbox } from "../domain/sandbox.ts";

/** What this process remembers of every sandbox that is not deleted, and the sums over it. Rebuilt from the rows at start. */
export interface Entry extends Lived {
  orgId: string;
  state: SandboxState;
  epoch: number;
  resources: Resources;
  lifetime: Lifetime;
}

interface Sum {
  sandboxes: number;
  /** Thousandths of a core: sums of fractions drift, sums of integers do not. */
  milliCpu: number;
  memoryMb: number;
  diskMb: number;
}

export class Ledger {
  readonly #entries = new Map<string, Entry>();
  readonly #byOrg = new Map<string, Sum>();
  readonly #byNode = new Map<string, Sum>();

  get(id: string): Entry | undefined {
    return this.#entries.get(id);
  }

  entries(): IterableIterator<Entry> {
    return this.#entries.values();
  }

  get size(): number {
    return this.#entries.size;
  }

  put(entry: Entry): void {
    this.remove(entry.id);
    this.#entries.set(entry.id, entry);
    this.#count(entry, 1);
  }

  remove(id: string): void {
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    this.#entries.delete(id);
    this.#count(entry, -1);
  }

  /** Follows a row as it was written or read last. */
  follow(sandbox: Sandbox): void {
    if (sandbox.state === "deleted") this.remove(sandbox.id);
    else this.put(entryOf(sandbox, this.#entries.get(sandbox.id)?.lastActiveAt ?? 0));
  }

  /** Later signs of life only; true where this was one. */
  touch(id: string, at: number): boolean {
    const entry = this.#entries.get(id);
    if (entry === undefined || entry.lastActiveAt >= at) return false;
    entry.lastActiveAt = at;
    return true;
  }

  usage(orgId: string): Quota {
    const sum = this.#byOrg.get(orgId);
    return { sandboxes: sum?.sandboxes ?? 0, cpu: (sum?.milliCpu ?? 0) / 1_000, memoryMb: sum?.memoryMb ?? 0 };
  }

  /** What has been promised of this node. */
  usedOn(nodeId: string): Amounts {
    const sum = this.#byNode.get(nodeId);
    return { cpu: (sum?.milliCpu ?? 0) / 1_000, memoryMb: sum?.memoryMb ?? 0, diskMb: sum?.diskMb ?? 0, sandboxes: sum?.sandboxes ?? 0 };
  }

  #count(entry: Entry, sign: 1 | -1): void {
    const { state, resources } = entry;
    const charge = chargeOf(state, resources);
    add(this.#byOrg, entry.orgId, { sandboxes: charge.sandboxes, milliCpu: milli(charge.cpu), memoryMb: charge.memoryMb, diskMb: 0 }, sign);
    if (entry.nodeId === null) return;
    const active = isActive(state) || state === "deleting" ? 1 : 0;
    const { cpu, memoryMb, diskMb } = resources;
    add(this.#byNode, entry.nodeId, { sandboxes: active, milliCpu: active * milli(cpu), memoryMb: active * memoryMb, diskMb }, sign);
  }
}

const milli = (cpu: number): number => Math.round(cpu * 1_000);

function add(sums: Map<string, Sum>, key: string, amount: Sum, sign: 1 | -1): void {
  const sum = sums.get(key) ?? { sandboxes: 0, milliCpu: 0, memoryMb: 0, diskMb: 0 };
  sum.sandboxes += sign * amount.sandboxes;
  sum.milliCpu += sign * amount.milliCpu;
  sum.memoryMb += sign * amount.memoryMb;
  sum.diskMb += sign * amount.diskMb;
  sums.set(key, sum);
}

function entryOf(sandbox: Sandbox, lastActiveAt: number): Entry {
  const { id, orgId, nodeId, state, epoch, startedAt, expiresAt, spec } = sandbox;
  const active = Math.max(lastActiveAt, sandbox.lastActiveAt);
  return {
    id,
    orgId,
    nodeId,
    state,
    epoch,
    startedAt,
    expiresAt,
    lastActiveAt: active,
    resources: spec.resources,
    lifetime: spec.lifetime,
  };
}
