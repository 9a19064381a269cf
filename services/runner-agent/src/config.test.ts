import { expect, it } from "vitest";
import { readConfig } from "./config.ts";

const REQUIRED = { BANYAN_CLUSTER_TOKEN: "a token of this test" };

it("makes slots by Docker, at Docker's pace, unless told otherwise", () => {
  expect(readConfig(REQUIRED).node).toMatchObject({ slotMaker: "docker", ociRuntime: "runc", pool: { perS: 8 } });
});

it("refills faster with the OCI maker, unless a pace is given", () => {
  const oci = { ...REQUIRED, BANYAN_SLOT_MAKER: "oci", BANYAN_OCI_RUNTIME: "/opt/crun" };
  expect(readConfig(oci).node).toMatchObject({ slotMaker: "oci", ociRuntime: "/opt/crun", pool: { perS: 40 } });
  expect(readConfig({ ...oci, BANYAN_POOL_REFILL_PER_S: "3" }).node.pool.perS).toBe(3);
});

it("refuses a maker that does not exist", () => {
  expect(() => readConfig({ ...REQUIRED, BANYAN_SLOT_MAKER: "podman" })).toThrow(/BANYAN_SLOT_MAKER/);
});
