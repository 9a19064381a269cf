import { api, type SandboxRecord, SandboxSpec } from "@banyan/contracts";
import { newId } from "@banyan/kernel";
import { expect, it } from "vitest";
import { changesOf, leftToImage, sandboxView, specOf } from "./sandbox.ts";

it("fills a spec from an empty body", () => {
  const spec = specOf(api.CreateSandboxBody.parse({}), "default");
  expect(SandboxSpec.parse(spec)).toEqual(spec);
  expect(spec).toMatchObject({ image: "default", resources: { cpu: 1, memoryMb: 1_024 }, lifetime: { idleTimeoutS: 900, onIdle: "stop" } });
});

it("keeps the defaults of limits that are not named", () => {
  const spec = specOf(
    api.CreateSandboxBody.parse({ limits: { cpu: 0.5 }, lifetime: { max_lifetime_s: 60 }, network: { egress: "closed" } }),
    "default",
  );
  expect(spec.resources).toMatchObject({ cpu: 0.5, memoryMb: 1_024 });
  expect(spec.lifetime).toMatchObject({ maxLifetimeS: 60, idleTimeoutS: 900 });
  expect(spec.network).toEqual({ egress: "closed", allow: [] });
});

it("leaves to the image the limits that nobody stated", () => {
  expect(leftToImage(api.CreateSandboxBody.parse({}).limits)).toEqual(["cpu", "memoryMb", "diskMb"]);
  expect(leftToImage(api.CreateSandboxBody.parse({ limits: { cpu: 1, disk_mb: 64 } }).limits)).toEqual(["memoryMb"]);
});

it("changes only what was given, null included", () => {
  expect(changesOf({})).toEqual({});
  expect(changesOf({ lifetime: { idle_timeout_s: null } })).toEqual({ lifetime: { idleTimeoutS: null } });
  expect(changesOf({ labels: { a: null, b: "x" } })).toEqual({ labels: { a: null, b: "x" } });
});

it("shows a record as the schema promises, without the environment", () => {
  const record: SandboxRecord = {
    id: newId("sbx"),
    orgId: newId("org"),
    spec: specOf(api.CreateSandboxBody.parse({ env: { SECRET: "s" }, labels: { task: "1" } }), "default"),
    state: "stopped",
    stateReason: "idle",
    origin: null,
    nodeId: "n1",
    epoch: 3,
    version: 9,
    createdAt: 0,
    startedAt: 1_000,
    stoppedAt: null,
    lastActiveAt: 2_000,
    expiresAt: null,
  };
  const view = sandboxView(record);
  expect(api.Sandbox.strict().parse(view)).toEqual(view);
  expect(JSON.stringify(view)).not.toContain("SECRET");
  expect(view).toMatchObject({ created_at: "1970-01-01T00:00:00.000Z", stopped_at: null, hostname: record.id.replace("_", "-") });
});

it("says of a child of a fork where it came from", () => {
  const forkId = newId("frk");
  const parentId = newId("sbx");
  const spec = specOf(api.CreateSandboxBody.parse({}), "default");
  const times = { createdAt: 0, startedAt: null, stoppedAt: null, lastActiveAt: 0, expiresAt: null };
  const child: SandboxRecord = {
    ...{ id: newId("sbx"), orgId: newId("org"), spec, state: "running", stateReason: null, nodeId: "n1", epoch: 1, version: 1, ...times },
    origin: { forkId, index: 7, parentId },
  };
  expect(sandboxView(child).origin).toEqual({ fork_id: forkId, index: 7, parent_id: parentId });
});
