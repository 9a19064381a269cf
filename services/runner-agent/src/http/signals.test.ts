import { expect, it } from "vitest";
import { signalName, signalNumber } from "./signals.ts";

it("translates every signal both ways", () => {
  for (let number = 1; number <= 31; number++) expect(signalNumber(signalName(number))).toBe(number);
  for (let number = 34; number <= 64; number++) expect(signalNumber(signalName(number))).toBe(number);
  expect(signalName(9)).toBe("SIGKILL");
  expect(signalNumber("SIGRTMAX-1")).toBe(63);
});

it("refuses a name that is none", () => {
  for (const name of ["SIGNOTHING", "SIGRTMIN+99", "SIGRTMAX+1"]) expect(() => signalNumber(name)).toThrow();
});
