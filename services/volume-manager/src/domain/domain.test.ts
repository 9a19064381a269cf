import { fault, type VolumeUser } from "@banyan/contracts";
import { newId } from "@banyan/kernel";
import { describe, expect, it } from "vitest";
import { afterFailure, TRIES_MAX } from "./after-failure.ts";
import { mayDelete, mayReplace } from "./in-use.ts";
import { mergeLabels } from "./labels.ts";
import { quotaLeftBytes } from "./quota.ts";
import { openRemote, sealSecrets } from "./remote.ts";

const user = (state: VolumeUser["state"], versionId: string | null = null): VolumeUser => ({
  sandboxId: newId("sbx"),
  state,
  path: "/data",
  mode: "ro",
  versionId,
});
const found = (users: VolumeUser[], { forks = 0, unnamed = 0 } = {}) => ({ users, forks, total: users.length + forks + unnamed });

describe("a volume that is to be deleted", () => {
  it("may be when nobody has it among its mounts", () => expect(mayDelete(found([]), false)).toBe(true));
  it("may not be when a stopped sandbox has it", () => expect(mayDelete(found([user("stopped")]), false)).toBe(false));
  it("may be by force when only stopped ones have it", () => expect(mayDelete(found([user("stopped"), user("failed")]), true)).toBe(true));
  it.each(["starting", "running", "stopping", "deleting"] as const)("may not be by force when one is %s", (state) =>
    expect(mayDelete(found([user(state), user("stopped")]), true)).toBe(false),
  );
  it("may not be by force when a fork that has not ended has it", () => expect(mayDelete(found([], { forks: 1 }), true)).toBe(false));
});

describe("content that is to be put back", () => {
  const version = newId("ver");
  it("may be when those who run see versions", () => expect(mayReplace(found([user("running", version)]))).toBe(true));
  it("may not be when one that runs sees the content", () =>
    expect(mayReplace(found([user("running", version), user("running")]))).toBe(false));
  it("may be when one that is stopped would see it", () => expect(mayReplace(found([user("stopped")]))).toBe(true));
  it("may not be when more run than were named", () => expect(mayReplace(found([user("running", version)], { unnamed: 1 }))).toBe(false));
  it("may be when those who were not named are stopped", () => expect(mayReplace(found([user("stopped")], { unnamed: 9 }))).toBe(true));
  it("may not be when a fork has not ended", () => expect(mayReplace(found([], { forks: 1 }))).toBe(false));
});

it("merges labels, and says where there are too many", () => {
  expect(mergeLabels({ a: "1", b: "2" }, { b: null, c: "3" })).toEqual({ labels: { a: "1", c: "3" } });
  expect(mergeLabels({}, Object.fromEntries(Array.from({ length: 33 }, (_, i) => [`l${i}`, ""])))).toHaveProperty("issue");
});

it("knows what an upload may bring only where uploads are what is refused", () => {
  expect(quotaLeftBytes({ quotaMb: 1, usageBytes: 1_000_000 }, "upload")).toBe(48_576);
  expect(quotaLeftBytes({ quotaMb: 1, usageBytes: 2_000_000 }, "upload")).toBe(0);
  expect(quotaLeftBytes({ quotaMb: 1, usageBytes: null }, "kernel")).toBeNull();
  expect(quotaLeftBytes({ quotaMb: null, usageBytes: 5 }, "upload")).toBeNull();
});

it("tries for ever while the store is away, some times what went wrong, and not again what was refused", () => {
  expect(afterFailure(fault("volume.unreachable"), 1_000)).toBe("again");
  expect(afterFailure(fault("volume.no_space"), 1)).toBe("give up");
  expect(afterFailure(new Error("odd"), TRIES_MAX - 1)).toBe("again");
  expect(afterFailure(new Error("odd"), TRIES_MAX)).toBe("give up");
});

it("gives up a deed that was to be done by now, though its store may come back", () => {
  expect(afterFailure(fault("volume.unreachable"), 1, true)).toBe("give up");
});

it("seals the secrets of a remote for its volume alone", () => {
  const remote = { type: "s3" as const, path: "bucket", options: {}, secrets: { secret_access_key: "hush" } };
  const secretsSealed = sealSecrets(remote, "vol_a", "key");
  expect(secretsSealed).not.toContain("hush");
  const { secrets: _, ...open } = remote;
  expect(openRemote({ id: "vol_a", remote: open, secretsSealed }, "key")).toEqual(remote);
  expect(() => openRemote({ id: "vol_b", remote: open, secretsSealed }, "key")).toThrow();
});
