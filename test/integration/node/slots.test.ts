import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { systemClock } from "@banyan/kernel";
import { NODE_DEFAULTS } from "@banyan/runner-agent";
import {
  AttachClient,
  buildNative,
  cgroupDirectories,
  DockerSlotMaker,
  isAlive,
  NodeNetwork,
  OciSlotMaker,
  openDocker,
  SLOT_IMAGE_REPOSITORY,
  slotImage,
  slotMakerConformance,
} from "@banyan/runtime";
import { afterAll, beforeAll, expect, it } from "vitest";
import { freeSubnet } from "./free-subnet.ts";

const nodeId = `slots-${process.pid}`;
const dataDir = mkdtempSync("/var/tmp/bny-");
const [slotsDirectory, ociDirectory, runDirectory] = [join(dataDir, "slots"), join(dataDir, "oci"), join(dataDir, "oci-run")];
let initPath = "";
let attach: AttachClient;
let network: NodeNetwork;

beforeAll(async () => {
  const native = await buildNative();
  initPath = native.init;
  attach = await AttachClient.start({ binaryPath: native.attach });
  network = new NodeNetwork({ nodeId, subnet: freeSubnet(), resolvers: [], attach });
  await network.open();
});
afterAll(async () => {
  await network.close();
  await attach.close();
  rmSync(dataDir, { recursive: true, force: true });
});

const docker = openDocker(process.env.DOCKER_HOST ?? NODE_DEFAULTS.dockerHost);
const dockerMaker = async () => new DockerSlotMaker({ docker, nodeId, slotsDirectory, initPath, network, clock: systemClock });
/** Like another process: what the maker before it knew is not known. */
const ociMaker = async (runtime: string = NODE_DEFAULTS.ociRuntime) => {
  const options = { runtime, nodeId, slotsDirectory: ociDirectory, runDirectory, initPath, network, attach, clock: systemClock };
  const maker = await OciSlotMaker.open(options);
  await maker.prepare();
  return maker;
};
const end = async ({ pid }: { pid: number }) => void process.kill(pid, "SIGKILL");

for (const { name, run } of slotMakerConformance({ maker: dockerMaker, end, real: true })) it(`makes Docker slots: ${name}`, run);
for (const { name, run } of slotMakerConformance({ maker: ociMaker, end, real: true })) it(`makes OCI slots: ${name}`, run);

it("makes its image again when somebody removed it", async () => {
  const maker = await dockerMaker();
  await maker.prepare();
  await docker.getImage(`${SLOT_IMAGE_REPOSITORY}:${slotImage(initPath).tag}`).remove({ force: true });
  await maker.destroy(await maker.make());
});

it("says what to do when there is no such OCI runtime, or it does not run", async () => {
  await expect(ociMaker("/nowhere/runc")).rejects.toThrow(/\/nowhere\/runc does not work here .* BANYAN_OCI_RUNTIME/);
  await expect(ociMaker("/bin/false")).rejects.toThrow(/\/bin\/false does not work here/);
});

it("leaves nothing of an OCI slot that cannot be started", async () => {
  const maker = await ociMaker();
  // No init in the root: the container is made and its process cannot be.
  const root = readdirSync(runDirectory).find((name) => name.startsWith("root-")) ?? "";
  rmSync(join(runDirectory, root, "init"));
  const cgroups = () =>
    cgroupDirectories("/banyan").flatMap((directory) => readdirSync(directory).filter((name) => name.startsWith("slot_")));
  const before = cgroups();
  await expect(maker.make()).rejects.toMatchObject({ code: "node.no_slot", message: expect.stringContaining("/init") });
  rmSync(join(runDirectory, root), { recursive: true });
  expect(await maker.list()).toEqual([]);
  expect([
    ...readdirSync(ociDirectory),
    ...readdirSync(join(runDirectory, "state")),
    ...readdirSync(join(runDirectory, "bundles")),
  ]).toEqual([]);
  expect(cgroups().filter((name) => !before.includes(name))).toEqual([]);
});

it("lists what a killed process left of an OCI slot on its way, and removes it", async () => {
  const maker = await ociMaker();
  const slot = await maker.make();
  // As after a kill between the runtime's start and the record.
  rmSync(join(runDirectory, "bundles", slot.id, "slot.json"));
  const next = await ociMaker();
  expect(await next.list()).toEqual([{ id: slot.id, handle: slot.id, alive: false }]);
  await next.destroy(slot);
  expect(await next.list()).toEqual([]);
  expect(cgroupDirectories(`/banyan/${slot.id}`)).toEqual([]);
  expect(isAlive(slot)).toBe(false);
  await maker.destroy(slot);
});
