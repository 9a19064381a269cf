import { expect, it } from "vitest";
import { SLOT_CAPABILITIES } from "./hardening.ts";
import { type OciSlot, ociConfig } from "./oci-config.ts";
import { seccompProfile } from "./oci-seccomp.ts";

const slot: OciSlot = {
  id: "slot_1",
  nodeId: "node",
  address: "10.0.0.2",
  directory: "/data/oci/slot_1",
  rootDirectory: "/data/root",
  cgroup: "/banyan/slot_1",
  cgroupVersion: 2,
  appArmorProfile: null,
};
/** The profile as one set of names per action, for calls without conditions. */
const allowed = (arch: string) =>
  new Set(
    seccompProfile(arch).syscalls.flatMap(({ names, action, args }) => (action === "SCMP_ACT_ALLOW" && args === undefined ? names : [])),
  );

it("asks for a cgroup namespace where there is one hierarchy, as Docker does", () => {
  expect(ociConfig(slot)).toMatchObject({ linux: { namespaces: expect.arrayContaining([{ type: "cgroup" }]) } });
  expect(ociConfig({ ...slot, cgroupVersion: 1 })).toMatchObject({
    linux: { namespaces: expect.not.arrayContaining([{ type: "cgroup" }]) },
  });
});

it("gives the short list of capabilities and none to inherit", () => {
  const list = SLOT_CAPABILITIES.map((name) => `CAP_${name}`);
  expect(ociConfig(slot)).toMatchObject({
    process: { noNewPrivileges: true, terminal: false, capabilities: { bounding: list, effective: list, permitted: list } },
  });
  expect(JSON.stringify(ociConfig(slot))).not.toMatch(/"(inheritable|ambient)"/);
});

it("names Docker's AppArmor profile only where it is loaded", () => {
  expect(JSON.stringify(ociConfig(slot))).not.toContain("apparmor");
  expect(ociConfig({ ...slot, appArmorProfile: "docker-default" })).toMatchObject({ process: { apparmorProfile: "docker-default" } });
});

it.each(["x64", "arm64"])("allows no call on %s that reaches beyond the slot", (arch) => {
  const names = allowed(arch);
  expect(names.has("execve")).toBe(true);
  const dangerous = [
    "mount",
    "unshare",
    "setns",
    "clone",
    "clone3",
    "socket",
    "personality",
    "bpf",
    "keyctl",
    "io_uring_setup",
    "kexec_load",
  ];
  expect(dangerous.filter((name) => names.has(name))).toEqual([]);
});
