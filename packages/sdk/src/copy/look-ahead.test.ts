import { expect, it } from "vitest";
import { lookAhead } from "./look-ahead.ts";

async function* numbers(count: number, asked: number[] = []): AsyncGenerator<number, void, undefined> {
  for (let i = 0; i < count; i++) {
    asked.push(i);
    yield i;
  }
}

it.each([1, 7, 5_000])("gives each once and in order, %i ahead at most", async (most) => {
  const seen: number[] = [];
  for await (const item of lookAhead(numbers(3_000), most)) seen.push(item);
  expect(seen).toEqual(Array.from({ length: 3_000 }, (_, i) => i));
});

it("looks on while the first is worked off, and not beyond its bound", async () => {
  const asked: number[] = [];
  const ahead = lookAhead(numbers(100, asked), 10);
  expect((await ahead.next()).value).toBe(0);
  for (let i = 0; i < 1_000; i++) await Promise.resolve();
  expect(asked.length).toBeGreaterThanOrEqual(10);
  expect(asked.length).toBeLessThanOrEqual(12);
  await ahead.return();
  expect(asked.length).toBeLessThanOrEqual(12);
});

it("fails as its source does, after what was found before", async () => {
  async function* failing(): AsyncGenerator<number, void, undefined> {
    yield 1;
    throw new Error("no more");
  }
  const seen: number[] = [];
  await expect(
    (async () => {
      for await (const item of lookAhead(failing(), 10)) seen.push(item);
    })(),
  ).rejects.toThrow("no more");
  expect(seen).toEqual([1]);
});
