import { fault } from "@banyan/contracts";
import type { Clock } from "@banyan/kernel";
import { type Command, type Decision, decide } from "./domain/decide.ts";
import type { Sandbox } from "./domain/sandbox.ts";
import type { LateWrites } from "./memory/late-writes.ts";
import type { Ledger } from "./memory/ledger.ts";
import type { Store } from "./store/index.ts";

interface Parts {
  store: Store;
  ledger: Ledger;
  late: LateWrites;
  clock: Clock;
  /** Something was put into the outbox. */
  onSaid: () => void;
  /** A child of a fork that starts: it gets its row when it has. */
  startingChild: (id: string) => Sandbox | null;
  /** Resolves when what is known of the organisation's forks is in rows. */
  forksWritten: (orgId: string) => Promise<void>;
  /** A sandbox that a fork made went on otherwise than by its fork. */
  onChildChanged: (sandbox: Sandbox) => void;
}

/** Whoever is told of a start comes back at once with a command; the write leaves the processor to it. If it is lost, the node tells of the run. */
const STARTED_DELAY_MS = 10;

type Change = Extract<Decision, { kind: "changed" }>;

/** The rows, and what this process remembers of them, moving together. All but `find` and `peek` belong inside the sandbox's lane. */
export class Sandboxes {
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** The row as it is now; another organisation's and a deleted one are not found. */
  async find(ref: { orgId: string; id: string }): Promise<Sandbox> {
    const sandbox = this.#parts.startingChild(ref.id) ?? (await this.peek(ref.id)) ?? (await this.#justStarted(ref));
    if (sandbox === null || sandbox.orgId !== ref.orgId || sandbox.state === "deleted") throw fault("sandbox.not_found", { id: ref.id });
    return sandbox;
  }

  /** Asked of an id without a row alone: it may be a child's whose start was acknowledged a moment ago. */
  async #justStarted({ orgId, id }: { orgId: string; id: string }): Promise<Sandbox | null> {
    await this.#parts.forksWritten(orgId);
    return this.#parts.store.readSandbox(id);
  }

  /** The row in any state, after what this process still had to write of it. */
  async peek(id: string): Promise<Sandbox | null> {
    await this.#parts.late.settle(id);
    const sandbox = await this.#parts.store.readSandbox(id);
    const activeAt = this.#parts.ledger.get(id)?.lastActiveAt ?? 0;
    return sandbox === null ? null : { ...sandbox, lastActiveAt: Math.max(sandbox.lastActiveAt, activeAt) };
  }

  /** What the command makes of the sandbox; throws where it is not legal. Nothing is written. */
  decide(sandbox: Sandbox, command: Command): Change {
    const decision = decide(sandbox, command, this.#parts.clock.now());
    if (decision.kind === "changed") return decision;
    throw fault(decision.code, { state: sandbox.state, epoch: sandbox.epoch, command: command.kind });
  }

  /** Decides, writes and remembers. */
  async apply(sandbox: Sandbox, command: Command): Promise<Sandbox> {
    const change = this.decide(sandbox, command);
    await this.write(sandbox, change);
    this.#parts.ledger.follow(change.next);
    return change.next;
  }

  /** Writes what was decided, fenced by the epoch and version it was decided on. */
  async write(
    before: Sandbox,
    { next, event, promotion = null }: Pick<Change, "next"> & { event: Change["event"] | null; promotion?: Change["promotion"] },
  ): Promise<void> {
    if (!(await this.#parts.store.applyTransition(before, next, event, promotion)))
      throw fault("sandbox.version_conflict", { version: before.version });
    if (event !== null) this.#parts.onSaid();
    if (next.origin !== null) this.#parts.onChildChanged(next);
  }

  /** False where the id is taken. */
  async insert(sandbox: Sandbox): Promise<boolean> {
    const inserted = await this.#parts.store.insertSandbox(sandbox);
    if (inserted) this.#parts.onSaid();
    return inserted;
  }

  /**
   * Remembers the outcome of these commands at once and writes it after the answer. If the first try fails, the row is read again:
   * a write whose acknowledgement was lost is found done, and one that somebody else overtook is let go.
   */
  applyLater(sandbox: Sandbox, ...commands: Command[]): Sandbox {
    const changes: { before: Sandbox; change: Change }[] = [];
    let last = sandbox;
    for (const command of commands) {
      const change = this.decide(last, command);
      changes.push({ before: last, change });
      last = change.next;
    }
    let tried = false;
    const write = async (): Promise<void> => {
      const again = tried;
      tried = true;
      if (!again) for (const { before, change } of changes) await this.write(before, change);
      else await this.#catchUp(sandbox, commands);
    };
    const isStart = commands.every(({ kind }) => kind === "started");
    this.#parts.late.add(sandbox.id, sandbox.orgId, write, isStart ? STARTED_DELAY_MS : 0);
    this.#parts.ledger.follow(last);
    return last;
  }

  async #catchUp({ id, epoch }: Sandbox, commands: readonly Command[]): Promise<void> {
    const row = await this.#parts.store.readSandbox(id);
    if (row === null || row.epoch !== epoch) return;
    let last = row;
    for (const command of commands) {
      const decision = decide(last, command, this.#parts.clock.now());
      if (decision.kind === "refused") continue;
      await this.write(last, decision);
      last = decision.next;
    }
    this.#parts.ledger.follow(last);
  }
}
