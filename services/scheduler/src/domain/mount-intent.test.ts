import { SANDBOX_STATES, type VolumeMount } from "@banyan/contracts";
import { expect, it } from "vitest";
import { type MountIntent, settlementOf } from "./mount-intent.ts";
import { sandboxOf, specOf } from "./sandbox.fixture.ts";
import type { Sandbox } from "./sandbox.ts";

const mount: VolumeMount = { volume: "vol_1", version: null, path: "/data", subpath: "", mode: "rw" };
const intent = (kind: MountIntent["kind"]): MountIntent => ({ sandboxId: "sbx_1", epoch: 3, kind, mount, force: false });
const of = (state: Sandbox["state"], volumes: VolumeMount[] = [], epoch = 3): Sandbox =>
  sandboxOf({ state, epoch, spec: specOf({ volumes }) });

it("undoes a mount that no row tells of, and finishes an unmount that one does not tell of", () => {
  expect(settlementOf(intent("mount"), of("running"))).toBe("undo");
  expect(settlementOf(intent("unmount"), of("running", [mount]))).toBe("finish");
});

it("has nothing to do where the row says what was wanted, or the run is over", () => {
  expect(settlementOf(intent("mount"), of("running", [mount]))).toBe("over");
  expect(settlementOf(intent("unmount"), of("running"))).toBe("over");
  for (const kind of ["mount", "unmount"] as const) {
    expect(settlementOf(intent(kind), null)).toBe("over");
    expect(settlementOf(intent(kind), of("running", [], 4))).toBe("over");
    for (const state of ["stopped", "deleted"] as const) expect(settlementOf(intent(kind), of(state, [mount]))).toBe("over");
  }
});

it("waits where the run may be there and cannot be asked", () => {
  const asked = new Set<string>(["running", "stopped", "deleted"]);
  for (const state of SANDBOX_STATES.filter((one) => !asked.has(one))) expect(settlementOf(intent("mount"), of(state))).toBe("wait");
});
