import { mkdtempSync, rmSync } from "node:fs";
import { systemClock } from "@banyan/kernel";
import { NODE_DEFAULTS } from "@banyan/runner-agent";
import {
  AttachClient,
  buildNative,
  DockerSlotMaker,
  NodeNetwork,
  openDocker,
  SLOT_IMAGE_REPOSITORY,
  slotImage,
  slotMakerConformance,
} from "@banyan/runtime";
import { afterAll, beforeAll, it } from "vitest";
import { freeSubnet } from "./free-subnet.ts";

const nodeId = `slots-${process.pid}`;
const slotsDirectory = mkdtempSync("/var/tmp/bny-");
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
  rmSync(slotsDirectory, { recursive: true, force: true });
});

const docker = openDocker(process.env.DOCKER_HOST ?? NODE_DEFAULTS.dockerHost);
const harness = {
  maker: async () => new DockerSlotMaker({ docker, nodeId, slotsDirectory, initPath, network, clock: systemClock }),
  end: async ({ pid }: { pid: number }) => void process.kill(pid, "SIGKILL"),
  real: true,
};

for (const { name, run } of slotMakerConformance(harness)) it(`makes Docker slots: ${name}`, run);

it("makes its image again when somebody removed it", async () => {
  const maker = await harness.maker();
  await maker.prepare();
  await docker.getImage(`${SLOT_IMAGE_REPOSITORY}:${slotImage(initPath).tag}`).remove({ force: true });
  await maker.destroy(await maker.make());
});
