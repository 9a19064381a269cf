import { DEFAULT_RESOURCES, SANDBOX_STATES } from "@banyan/contracts";
import { expect, it } from "vitest";
import { chargeOf, shortageOf } from "./quota.ts";

const quota = { sandboxes: 2, cpu: 0.3, memoryMb: 100 };
const nothing = { sandboxes: 0, cpu: 0, memoryMb: 0 };

it("charges cpu and memory only while a sandbox is active, and nothing once it is on its way out", () => {
  const charged = Object.fromEntries(SANDBOX_STATES.map((state) => [state, chargeOf(state, DEFAULT_RESOURCES)]));
  const active = { sandboxes: 1, cpu: 1, memoryMb: 1024 };
  const resting = { sandboxes: 1, cpu: 0, memoryMb: 0 };
  expect(charged).toEqual({
    starting: active,
    running: active,
    stopping: active,
    stopped: resting,
    failed: resting,
    deleting: nothing,
    deleted: nothing,
  });
});

it("names what there is too little of", () => {
  expect(shortageOf({ ...nothing, sandboxes: 2 }, { ...nothing, sandboxes: 1 }, quota)).toEqual({
    resource: "sandboxes",
    used: 2,
    asked: 1,
    limit: 2,
  });
  expect(shortageOf({ ...nothing, memoryMb: 60 }, { ...nothing, memoryMb: 41 }, quota)).toMatchObject({ resource: "memoryMb" });
});

it("does not stumble over fractions of cores", () => {
  expect(shortageOf({ ...nothing, cpu: 0.1 + 0.1 }, { ...nothing, cpu: 0.1 }, quota)).toBeNull();
});

it("lets a start through that asks for nothing of what is overdrawn", () => {
  expect(shortageOf({ sandboxes: 5, cpu: 0, memoryMb: 0 }, { sandboxes: 0, cpu: 0.1, memoryMb: 10 }, quota)).toBeNull();
});
