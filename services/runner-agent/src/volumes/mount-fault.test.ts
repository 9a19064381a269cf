import { constants } from "node:os";
import type { MountOrder } from "@banyan/contracts";
import { newId } from "@banyan/kernel";
import { NativeError } from "@banyan/runtime";
import { expect, it } from "vitest";
import { mountFault } from "./mount-fault.ts";

const mount: MountOrder = {
  path: "/data",
  subpath: "sub",
  mode: "rw",
  source: { kind: "directory", store: "store", volumeId: newId("vol"), versionId: null },
};
const failure = (step: string, errno: keyof typeof constants.errno) =>
  new NativeError("errno", "said by the kernel", { step, errno: constants.errno[errno] });
const codeOf = (step: string, errno: keyof typeof constants.errno) => mountFault(failure(step, errno), [mount])?.code ?? null;

it("says what is wrong with a mount by the step that failed", () => {
  expect(codeOf("source at /data", "ENOENT")).toBe("volume.not_found");
  expect(codeOf("source at /data", "ESTALE")).toBe("volume.unreachable");
  expect(codeOf("subpath at /data", "ENOENT")).toBe("volume.subpath_not_found");
  expect(codeOf("subpath at /data", "EIO")).toBe("volume.unreachable");
  expect(codeOf("target at /data", "EXDEV")).toBe("mount.refused");
  expect(codeOf("target at /data", "ENOSPC")).toBe("volume.mount_failed");
  expect(codeOf("cow at /data", "ENOTDIR")).toBe("mount.refused");
  expect(codeOf("cow directory at /data", "ELOOP")).toBe("mount.refused");
  expect(codeOf("cow directory at /data", "EDQUOT")).toBe("volume.mount_failed");
  expect(codeOf("overlay at /data", "EINVAL")).toBe("volume.mount_failed");
});

it("takes one that was ended while it waited, or never answered, for an unreachable store", () => {
  expect(codeOf("task", "EIO")).toBe("volume.unreachable");
  expect(mountFault(new NativeError("timeout", "no answer"), [mount])?.code).toBe("volume.unreachable");
});

it("leaves failures of other things alone", () => {
  expect(codeOf("process", "ESRCH")).toBeNull();
  expect(codeOf("/sys/fs/cgroup/memory at once", "ENOENT")).toBeNull();
  expect(mountFault(failure("task", "EIO"), [])).toBeNull();
  expect(mountFault(new Error("another"), [mount])).toBeNull();
});
