import { type ForkOutcome, forkChildMachine } from "@banyan/contracts";
import fc from "fast-check";
import { expect, it } from "vitest";
import { COMMAND, candidate, drain, forkRow, NO_USAGE, Rows } from "./fork.fixture.ts";
import { hasEnded } from "./fork.ts";
import { type Answer, type Batch, ForkBook } from "./fork-book.ts";

let made = 0;
const newBook = (): ForkBook => new ForkBook({ newSandboxId: () => `sbx_${++made}` });
const STARTED: Answer = { kind: "started", totalMs: 1 };
const ended = (exitCode: number, stdout = ""): ForkOutcome => ({
  exitCode,
  signal: null,
  timedOut: false,
  durationMs: 1,
  stdout,
  stderr: "",
  stdoutBytes: stdout.length,
  stderrBytes: 0,
  changes: null,
});
const NODES = ["a", "b", "c"];
const view = (now: number, nodes = NODES.map((nodeId) => candidate(nodeId))) => ({ now, nodes, usage: () => NO_USAGE });
const present = (now: number) => ({ now, isReachable: () => true, isLost: () => false });

function begun(spec: Parameters<typeof forkRow>[0], row: Parameters<typeof forkRow>[1] = {}) {
  const book = newBook();
  const rows = new Rows(forkRow(spec, row));
  book.add(rows.fork, [], 0);
  drain(book, rows);
  return { book, rows };
}

it("sends a batch only in the write that names its children, or after it", () => {
  const { book, rows } = begun({ count: 3 });
  const [batch] = book.plan(view(1));
  expect(batch?.children).toHaveLength(3);
  const write = book.take(rows.fork.id);
  expect(write?.children.map(({ state }) => state)).toEqual(["starting", "starting", "starting"]);
  expect(write?.actions).toEqual([{ kind: "send", batchId: batch?.id }]);
});

it("hears a command's end before its start was answered, and once", () => {
  const { book, rows } = begun({ count: 1, command: COMMAND });
  const [batch] = book.plan(view(1));
  drain(book, rows);
  const sandboxId = batch?.children[0]?.sandboxId ?? "";
  const report = { index: 0, sandboxId, outcome: ended(0), sandbox: "stopped" as const };
  book.finished(rows.fork.id, [report, report], 2);
  book.settled(batch?.id ?? 0, [STARTED], 3);
  drain(book, rows);
  expect(rows.children.get(0)).toMatchObject({ state: "succeeded" });
  expect(rows.sandboxes.get(sandboxId)).toBe("stopped");
  expect(rows.fork.state).toBe("done");
});

it("does not count an attempt that was given up, whatever is heard of it later", () => {
  const { book, rows } = begun({ count: 1, command: COMMAND });
  const [batch] = book.plan(view(1));
  drain(book, rows);
  const first = batch?.children[0]?.sandboxId ?? "";
  book.nodeLost(batch?.nodeId ?? "", 2);
  const [again] = book.plan(view(3));
  const second = again?.children[0]?.sandboxId ?? "";
  expect(second).not.toBe(first);
  book.settled(batch?.id ?? 0, [STARTED], 4);
  book.finished(rows.fork.id, [{ index: 0, sandboxId: first, outcome: ended(1), sandbox: "running" }], 4);
  book.settled(again?.id ?? 0, [STARTED], 5);
  book.finished(rows.fork.id, [{ index: 0, sandboxId: second, outcome: ended(0), sandbox: "running" }], 6);
  drain(book, rows);
  expect(rows.children.get(0)).toMatchObject({ state: "succeeded", attempts: 2, losses: 1, sandboxId: second });
});

it("gives a batch up that its node never answers to, and has it deleted there", () => {
  const { book, rows } = begun({ count: 1, retries: 0 });
  const [batch] = book.plan(view(1, [candidate("a")]));
  let now = 1;
  for (let turn = 0; turn < 10; turn++) {
    drain(book, rows);
    book.uncertain(batch?.id ?? 0, now);
    now += 10_000;
    book.tick(present(now));
  }
  const actions = drain(book, rows);
  expect(rows.children.get(0)).toMatchObject({ state: "lost", error: { code: "node.unreachable" } });
  expect(book.batch(batch?.id ?? 0)).toBeUndefined();
  expect(actions).toEqual([]);
});

it("takes up a cancel where a crash left it, however often", () => {
  const { book, rows } = begun({ count: 2_000, command: COMMAND });
  for (const batch of book.plan(view(1, [candidate("a", { capacity: BIG, slotsFree: 2_000 })])))
    book.settled(batch.id, startedAll(batch), 2);
  drain(book, rows);
  expect(rows.fork.counts).toMatchObject({ running: 2_000 });
  book.cancel(rows.fork.id, { reason: "cancelled", deletesAll: false }, 4);
  let last = book;
  for (let crash = 0; crash < 20 && !hasEnded(rows.fork.state); crash++) {
    const write = last.take(rows.fork.id);
    if (write === null) throw new Error("there is nothing left to write, and it has not ended");
    rows.write(write);
    last = newBook();
    last.add(rows.fork, rows.loaded(), 5);
  }
  expect(rows.fork).toMatchObject({ state: "cancelled", counts: { total: 2_000, cancelled: 2_000 } });
  expect(new Set(rows.sandboxes.values())).toEqual(new Set(["deleting"]));
});
const startedAll = (batch: Batch): Answer[] => batch.children.map(() => STARTED);
const BIG = { cpu: 10_000, memoryMb: 10_000_000, diskMb: 10_000_000, sandboxes: 10_000 };

it("deletes what it would have kept when that is asked for while it ends", () => {
  const { book, rows } = begun({ count: 3, command: COMMAND });
  const [batch] = book.plan(view(1));
  book.settled(batch?.id ?? 0, batch ? startedAll(batch) : [], 2);
  drain(book, rows);
  const sandboxId = batch?.children[0]?.sandboxId ?? "";
  book.finished(rows.fork.id, [{ index: 0, sandboxId, outcome: ended(0), sandbox: "running" }], 3);
  book.cancel(rows.fork.id, { reason: "cancelled", deletesAll: false }, 4);
  book.cancel(rows.fork.id, { reason: "cancelled", deletesAll: true }, 5);
  const deletes = drain(book, rows).flatMap((action) => (action.kind === "delete" ? [action.sandboxIds] : []));
  expect(deletes.flat().toSorted()).toEqual(batch?.children.map((child) => child.sandboxId).toSorted());
  for (const sandboxIds of deletes) book.removed(rows.fork.id, sandboxIds, true, 6);
  drain(book, rows);
  expect(rows.fork).toMatchObject({ state: "cancelled", counts: { succeeded: 1, cancelled: 2 } });
  expect(new Set(rows.sandboxes.values())).toEqual(new Set(["deleted"]));
});

it("stays as it ended when a cancel or its deadline comes before that is written", () => {
  for (const late of [
    (book: ForkBook, id: string) => book.cancel(id, { reason: "cancelled", deletesAll: true }, 4),
    (book: ForkBook) => book.tick(present(100_000_000)),
  ]) {
    const { book, rows } = begun({ count: 1, command: COMMAND });
    const [batch] = book.plan(view(1));
    drain(book, rows);
    const sandboxId = batch?.children[0]?.sandboxId ?? "";
    book.finished(rows.fork.id, [{ index: 0, sandboxId, outcome: ended(0), sandbox: "stopped" }], 3);
    late(book, rows.fork.id);
    drain(book, rows);
    expect(rows.fork).toMatchObject({ state: "done", stateReason: null, counts: { succeeded: 1 } });
  }
});

it("says what cut a command short, and makes only that child again which nobody stopped", () => {
  const cases = [
    [{ state: "stopped", reason: "slot_died" }, "lost", "sandbox.died"],
    [{ state: "stopping", reason: "drained" }, "lost", "node.drained"],
    [{ state: "failed", reason: "disk_lost" }, "lost", "sandbox.lost"],
    [{ state: "stopping", reason: null }, "failed", "sandbox.stopped"],
    [{ state: "stopping", reason: "moving" }, "failed", "sandbox.stopped"],
  ] as const;
  for (const [change, state, code] of cases) {
    for (const isTold of [true, false]) {
      const { book, rows } = begun({ count: 1, command: COMMAND, retries: 0 });
      const [batch] = book.plan(view(1));
      book.settled(batch?.id ?? 0, [STARTED], 2);
      drain(book, rows);
      const sandboxId = batch?.children[0]?.sandboxId ?? "";
      book.sandboxChanged(sandboxId, change, 3);
      if (isTold) book.finished(rows.fork.id, [{ index: 0, sandboxId, outcome: null, sandbox: "stopped" }], 4);
      else book.tick(present(40_000));
      // Said again, it is heard once.
      book.finished(rows.fork.id, [{ index: 0, sandboxId, outcome: null, sandbox: "stopped" }], 50_000);
      drain(book, rows);
      expect(rows.children.get(0), `${change.state}, ${change.reason}`).toMatchObject({ state, error: { code } });
      expect(rows.fork.counts).toMatchObject({ running: 0, [state]: 1 });
    }
  }
});

it("believes its node, who knows how a command ended before its sandbox did", () => {
  const { book, rows } = begun({ count: 1, command: COMMAND });
  const [batch] = book.plan(view(1));
  book.settled(batch?.id ?? 0, [STARTED], 2);
  const sandboxId = batch?.children[0]?.sandboxId ?? "";
  book.sandboxChanged(sandboxId, { state: "stopped", reason: "slot_died" }, 3);
  book.finished(rows.fork.id, [{ index: 0, sandboxId, outcome: ended(0), sandbox: "stopped" }], 4);
  drain(book, rows);
  expect(rows.children.get(0)).toMatchObject({ state: "succeeded" });
});

const event = fc.oneof(
  fc.record({ kind: fc.constant("plan" as const) }),
  fc.record({ kind: fc.constant("write" as const) }),
  fc.record({ kind: fc.constantFrom("answer" as const, "refuse" as const, "fail" as const, "doubt" as const), pick: fc.nat() }),
  fc.record({ kind: fc.constantFrom("succeed" as const, "exit" as const, "interrupt" as const), pick: fc.nat() }),
  fc.record({ kind: fc.constantFrom("lose" as const, "remove" as const, "stop" as const, "die" as const), pick: fc.nat() }),
  fc.record({ kind: fc.constant("crash" as const) }),
  fc.record({ kind: fc.constantFrom("cancel" as const, "clear" as const) }),
  fc.record({ kind: fc.constant("wait" as const), ms: fc.nat(20_000) }),
);

it("keeps its promises through any sequence of events and crashes", () => {
  const shape = fc.record({
    count: fc.integer({ min: 1, max: 12 }),
    retries: fc.integer({ min: 0, max: 2 }),
    maxParallel: fc.option(fc.integer({ min: 1, max: 5 })),
    command: fc.boolean(),
    policy: fc.constantFrom({ kind: "all" as const }, { kind: "first_success" as const }, { kind: "best" as const, goal: "min" as const }),
    spread: fc.constantFrom("auto" as const, "pack" as const, "spread" as const),
  });
  fc.assert(
    fc.property(shape, fc.array(event, { maxLength: 60 }), (spec, events) => {
      const rows = new Rows(forkRow({ ...spec, command: spec.command ? COMMAND : null, losers: "delete", deadlineS: 3_600 }));
      let book = newBook();
      let now = 1;
      let cancelled = false;
      book.add(rows.fork, [], now);
      const write = (): void => {
        const before = new Map([...rows.children].map(([index, { state }]) => [index, state]));
        for (const action of drain(book, rows)) if (action.kind === "delete") book.removed(rows.fork.id, action.sandboxIds, true, now);
        check(rows, before);
      };
      const step = (happened: (typeof events)[number]): void => {
        const batches = [...book.batches()];
        const batch: Batch | undefined = "pick" in happened ? batches[happened.pick % Math.max(1, batches.length)] : undefined;
        const running = [...rows.children.values()].filter(
          ({ state, sandboxId }) => (state === "running" || state === "starting") && sandboxId !== null,
        );
        const child = "pick" in happened ? running[happened.pick % Math.max(1, running.length)] : undefined;
        const all = (answer: Answer): void =>
          void (
            batch &&
            book.settled(
              batch.id,
              batch.children.map(() => answer),
              now,
            )
          );
        const tell = (outcome: ForkOutcome | null): void => {
          if (child?.sandboxId && spec.command)
            book.finished(rows.fork.id, [{ index: child.index, sandboxId: child.sandboxId, outcome, sandbox: "running" }], now);
        };
        switch (happened.kind) {
          case "plan":
            book.plan(view(now));
            break;
          case "write":
            write();
            break;
          case "answer":
            all(STARTED);
            break;
          case "refuse":
            all({ kind: "refused", reason: "no_slot", retryAfterMs: 10 });
            break;
          case "fail":
            all({ kind: "failed", code: "sandbox.start_failed", message: "" });
            break;
          case "doubt":
            if (batch) book.uncertain(batch.id, now);
            break;
          case "succeed":
            tell(ended(0, "1"));
            break;
          case "exit":
            tell(ended(1));
            break;
          case "interrupt":
            tell(null);
            break;
          case "lose":
            book.nodeLost(NODES[happened.pick % NODES.length] ?? "", now);
            break;
          case "remove":
            if (child?.sandboxId && child.state === "starting") book.removeStarting(child.sandboxId, now);
            else if (child?.sandboxId) book.sandboxChanged(child.sandboxId, { state: "deleting", reason: null }, now);
            break;
          case "stop":
          case "die": {
            const reason = happened.kind === "die" ? "slot_died" : null;
            if (child?.sandboxId) book.sandboxChanged(child.sandboxId, { state: "stopped", reason }, now);
            break;
          }
          case "cancel":
          case "clear":
            // As after an end that is written: then it is out of the book's hands.
            cancelled ||= !hasEnded(rows.fork.state);
            book.cancel(rows.fork.id, { reason: "cancelled", deletesAll: happened.kind === "clear" }, now);
            break;
          case "wait":
            now += happened.ms;
            book.tick(present(now));
            break;
          case "crash":
            book = newBook();
            book.add(rows.fork, rows.loaded(), now);
            break;
        }
        const live = book.get(rows.fork.id);
        if (live && spec.maxParallel !== null) expect(live.inFlight).toBeLessThanOrEqual(spec.maxParallel);
      };
      events.forEach(step);
      // From here on everything goes well: it ends.
      for (let turn = 0; turn < 200 && !hasEnded(rows.fork.state); turn++) {
        now += 6_000;
        book.tick(present(now));
        book.plan(view(now));
        write();
        for (const batch of [...book.batches()])
          book.settled(
            batch.id,
            batch.children.map(() => STARTED),
            now,
          );
        write();
        const reports = [...rows.children.values()].flatMap(({ index, state, sandboxId }) =>
          state === "running" && sandboxId !== null ? [{ index, sandboxId, outcome: ended(0, "2"), sandbox: "running" as const }] : [],
        );
        if (spec.command) book.finished(rows.fork.id, reports, now);
        write();
      }
      expect(cancelled ? ["done", "cancelled"] : ["done"]).toContain(rows.fork.state);
      if (rows.fork.deletesAll)
        expect([...rows.sandboxes.values()].filter((state) => state !== "deleted" && state !== "deleting")).toEqual([]);
      expect(rows.fork.counts).toMatchObject({ waiting: 0, starting: 0, ...(spec.command && { running: 0 }) });
      expect(rows.events.map(({ seq }) => seq)).toEqual(rows.events.map((_, at) => at + 2));
    }),
    { numRuns: 300 },
  );
});

/** Counts are those of the rows, a final child stays as it is, and no two children have one sandbox. */
function check(rows: Rows, before: ReadonlyMap<number, string>): void {
  const { counts, spec, restState } = rows.fork;
  const seen: Record<string, number> = { [restState]: spec.count - rows.children.size };
  const sandboxes = new Set<string>();
  for (const { index, state, sandboxId } of rows.children.values()) {
    seen[state] = (seen[state] ?? 0) + 1;
    const was = before.get(index);
    if (was !== undefined && forkChildMachine.isFinal(was as "failed")) expect(state).toBe(was);
    if (sandboxId === null) continue;
    expect(sandboxes.has(sandboxId)).toBe(false);
    sandboxes.add(sandboxId);
  }
  for (const [state, count] of Object.entries(counts)) expect(state === "total" ? spec.count : (seen[state] ?? 0)).toBe(count);
}
