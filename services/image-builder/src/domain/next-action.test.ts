import { type ImageEvent, type ImageState, imageMachine } from "@banyan/contracts";
import fc from "fast-check";
import { expect, it } from "vitest";
import { BUILD_ATTEMPTS_MAX, nextAction, retryDelayMs } from "./next-action.ts";

const image = (state: ImageState, changes = {}) => ({ state, attempts: 1, deadlineAt: 1_000, ...changes });
const seen = (changes = {}) => ({ now: 0, first: false, layersStored: true, ...changes });

it("inserts what is missing", () => {
  expect(nextAction(null, seen())).toEqual({ kind: "insert" });
});

it("leaves a build alone until its deadline, then says its job again", () => {
  expect(nextAction(image("building"), seen({ now: 999 }))).toEqual({ kind: "none" });
  expect(nextAction(image("building"), seen({ now: 1_000 }))).toEqual({ kind: "build" });
});

it("takes up at once what an earlier process left", () => {
  expect(nextAction(image("building"), seen({ first: true }))).toEqual({ kind: "build" });
  expect(nextAction(image("failed", { attempts: BUILD_ATTEMPTS_MAX }), seen({ first: true }))).toEqual({ kind: "move", event: "retry" });
});

it("tries a failed build again after its delay, a bounded number of times", () => {
  expect(nextAction(image("failed"), seen({ now: 999 }))).toEqual({ kind: "none" });
  expect(nextAction(image("failed"), seen({ now: 1_000 }))).toEqual({ kind: "move", event: "retry" });
  expect(nextAction(image("failed", { attempts: BUILD_ATTEMPTS_MAX }), seen({ now: 1e9 }))).toEqual({ kind: "none" });
});

it("makes a ready image again when the blob store has lost its layers", () => {
  expect(nextAction(image("ready"), seen())).toEqual({ kind: "none" });
  expect(nextAction(image("ready"), seen({ layersStored: false }))).toEqual({ kind: "move", event: "lost" });
});

it("waits longer after each failure, and gives up", () => {
  const delays = Array.from({ length: BUILD_ATTEMPTS_MAX }, (_, index) => retryDelayMs(index + 1));
  expect(delays.at(-1)).toBeNull();
  expect(delays.slice(0, -1)).toEqual(delays.slice(0, -1).toSorted((a, b) => (a ?? 0) - (b ?? 0)));
});

it("only ever asks for legal transitions", () => {
  const states = fc.constantFrom<ImageState>("building", "ready", "failed");
  fc.assert(
    fc.property(states, fc.nat(20), fc.nat(2_000), fc.boolean(), fc.boolean(), (state, attempts, now, first, layersStored) => {
      const action = nextAction(image(state, { attempts }), { now, first, layersStored });
      return action.kind !== "move" || imageMachine.next(state, action.event as ImageEvent) === "building";
    }),
  );
});
