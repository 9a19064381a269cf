import { expect, it } from "vitest";
import { copyText, rateMeter, restText, showCopyProgress } from "./copy-progress.ts";
import { bytesText } from "./volume-text.ts";

const GIB = 1024 ** 3;
const half = { files: 12, bytes: GIB, filesTotal: 340, bytesTotal: 2 * GIB, compared: true, resumed: 0 };

it("says how far it is, how fast, and how long it takes yet", () => {
  expect(copyText(half, 64 * 1024 ** 2)).toBe("1.00 GB of 2.00 GB, 50 %, 64.0 MB/s, 16 s left, 12 of 340 files");
  expect(copyText(half, null)).toBe("1.00 GB of 2.00 GB, 50 %, 12 of 340 files");
});

it("foretells nothing while there may be more, or while nothing moves", () => {
  expect(copyText({ ...half, compared: false }, 1_000)).toBe("1.00 GB of 2.00 GB so far, 1000 B/s, 12 of 340 files");
  expect(copyText(half, 0)).not.toContain("left");
});

it("writes times and amounts for people", () => {
  expect([0.2, 59, 61, 3_725].map(restText)).toEqual(["1 s", "59 s", "1 min 1 s", "1 h 2 min"]);
  expect([0, 1_023, 1_024, 10 * 1024, 1_048_575, 5 * 1024 ** 4].map(bytesText)).toEqual([
    "0 B",
    "1023 B",
    "1.00 KB",
    "10.0 KB",
    "1.00 MB",
    "5.00 TB",
  ]);
  expect(bytesText(null)).toBe("-");
});

it("measures the rate of the last while only", () => {
  let at = 0;
  const meter = rateMeter(() => at);
  meter.sample(0);
  expect(meter.perSecond()).toBeNull();
  for (at = 1_000; at <= 30_000; at += 1_000) meter.sample(at);
  expect(meter.perSecond()).toBeCloseTo(1_000);
  for (; at <= 60_000; at += 1_000) meter.sample(30_000);
  expect(meter.perSecond()).toBe(0);
});

it("takes what an earlier copy has brought over for no speed of this one", () => {
  const written: string[] = [];
  let at = 0;
  const display = showCopyProgress({ to: { isTTY: true, columns: 100, write: (text) => written.push(text) }, now: () => at });
  display.tell({ ...half, bytes: 0 });
  at = 1_000;
  display.tell({ ...half, bytes: GIB + 1024 ** 2, resumed: GIB });
  expect(written.at(-1)).toContain("1.00 MB/s");
});

it("changes one line at a terminal, and clears it for what stays", () => {
  const written: string[] = [];
  const display = showCopyProgress({ to: { isTTY: true, columns: 20, write: (text) => written.push(text) }, now: () => 1 });
  display.tell(half);
  display.line("a: it is gone");
  display.end();
  expect(written).toEqual(["\r\u001b[K1.00 GB of 2.00 GB,", "\r\u001b[K", "a: it is gone\n"]);
});

it("writes whole lines, now and then, where nobody looks", () => {
  const written: string[] = [];
  let at = 0;
  const display = showCopyProgress({ to: { write: (text) => written.push(text) }, now: () => at });
  for (; at < 25_000; at += 100) display.tell(half);
  display.end();
  expect(written).toHaveLength(2);
  for (const line of written) expect(line).toMatch(/^1\.00 GB of 2\.00 GB.*\n$/);
});

it("says nothing but what went wrong where it is to be silent", () => {
  const written: string[] = [];
  const display = showCopyProgress({ silent: true, to: { isTTY: true, write: (text) => written.push(text) }, now: () => 60_000 });
  display.tell(half);
  display.line("a: it is gone");
  display.end();
  expect(written).toEqual(["a: it is gone\n"]);
});
