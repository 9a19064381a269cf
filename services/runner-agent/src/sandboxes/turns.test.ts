import { silentLogger } from "@banyan/kernel";
import { expect, it } from "vitest";
import { Interrupts } from "./interrupts.ts";
import { Turns } from "./turns.ts";
import { Undo } from "./undo.ts";

const tick = () => new Promise((resolve) => setImmediate(resolve));

it("lets operations on one sandbox follow one another, and others go on", async () => {
  const turns = new Turns();
  const said: string[] = [];
  const operation = (key: string, name: string) =>
    turns.take(key, async () => {
      said.push(`${name} begins`);
      await tick();
      said.push(`${name} ends`);
    });
  await Promise.all([operation("a", "first"), operation("a", "second"), operation("b", "other")]);
  expect(said.filter((line) => !line.startsWith("other"))).toEqual(["first begins", "first ends", "second begins", "second ends"]);
  expect(said.indexOf("other begins")).toBeLessThan(said.indexOf("first ends"));
});

it("gives the next its turn after a failure", async () => {
  const turns = new Turns();
  await expect(turns.take("a", () => Promise.reject(new Error("broken")))).rejects.toThrow("broken");
  expect(await turns.take("a", async () => "fine")).toBe("fine");
});

const untilAborted = (signal: AbortSignal) =>
  new Promise<never>((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener("abort", () => reject(signal.reason));
  });

it("interrupts what waits, but not for an older epoch", async () => {
  const interrupts = new Interrupts();
  const waiting = interrupts.waitFor("a", 3, untilAborted).catch((error: unknown) => error);
  interrupts.interrupt("a", 2);
  interrupts.interrupt("b", 9);
  let settled = false;
  void waiting.then(() => {
    settled = true;
  });
  await tick();
  expect(settled).toBe(false);
  interrupts.interrupt("a", 3);
  expect(await waiting).toMatchObject({ code: "sandbox.start_failed" });
});

it("interrupts at once what begins to wait while a delete waits for its turn", async () => {
  const interrupts = new Interrupts();
  await interrupts.whileUrgent("a", 3, async () => {
    await expect(interrupts.waitFor("a", 3, untilAborted)).rejects.toMatchObject({ code: "sandbox.start_failed" });
  });
  expect(await interrupts.waitFor("a", 3, async () => "waited")).toBe("waited");
});

it("takes steps back in reverse, also past one that fails", async () => {
  const undo = new Undo(silentLogger);
  const undone: number[] = [];
  undo.add(() => void undone.push(1));
  undo.add(() => Promise.reject(new Error("cannot")));
  undo.add(async () => void undone.push(3));
  await undo.run();
  expect(undone).toEqual([3, 1]);
});
