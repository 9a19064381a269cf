import { DEFAULT_LIFETIME } from "@banyan/contracts";
import { expect, it } from "vitest";
import { dueOf, type Lived } from "./lifetime.ts";

const S = 1_000;
const lived = (changes: Partial<Lived> = {}): Lived => ({
  id: "x",
  nodeId: "a",
  state: "running",
  lifetime: { ...DEFAULT_LIFETIME, idleTimeoutS: 60 },
  startedAt: 0,
  lastActiveAt: 0,
  expiresAt: null,
  ...changes,
});
const always = () => 0;

it("is idle after its timeout without activity, not before", () => {
  expect(dueOf(lived({ lastActiveAt: 5 * S }), 65 * S - 1, always)).toBeNull();
  expect(dueOf(lived({ lastActiveAt: 5 * S }), 65 * S, always)).toEqual({ id: "x", why: "idle", action: "stop", idleSince: 5 * S });
});

it("counts from its start where nothing has happened since", () => {
  expect(dueOf(lived({ startedAt: 30 * S }), 70 * S, always)).toBeNull();
});

it("is not idle while its node is away, and begins again at its return", () => {
  expect(dueOf(lived(), 500 * S, () => null)).toBeNull();
  expect(dueOf(lived(), 500 * S, () => 490 * S)).toBeNull();
  expect(dueOf(lived(), 550 * S, () => 490 * S)).toMatchObject({ why: "idle", idleSince: 0 });
});

it("is never idle at rest or without a timeout", () => {
  expect(dueOf(lived({ state: "stopped" }), 500 * S, always)).toBeNull();
  expect(dueOf(lived({ lifetime: { ...DEFAULT_LIFETIME, idleTimeoutS: null } }), 500 * S, always)).toBeNull();
});

it("is deleted at expiry in any resting or running state, and goes before idleness", () => {
  for (const state of ["running", "stopped", "failed"] as const) {
    expect(dueOf(lived({ state, expiresAt: 100 * S }), 100 * S, always)).toMatchObject({ why: "expired", action: "delete" });
  }
  expect(dueOf(lived({ state: "starting", expiresAt: 100 * S }), 100 * S, always)).toBeNull();
});

it("is stopped at expiry once: a later start is meant", () => {
  const lifetime = { ...DEFAULT_LIFETIME, idleTimeoutS: null, onExpiry: "stop" as const };
  expect(dueOf(lived({ lifetime, expiresAt: 100 * S }), 100 * S, always)).toMatchObject({ why: "expired", action: "stop" });
  expect(dueOf(lived({ lifetime, expiresAt: 100 * S, startedAt: 101 * S }), 200 * S, always)).toBeNull();
});
