import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { GetVolume } from "@banyan/contracts";
import { newId } from "@banyan/kernel";
import { readStore } from "@banyan/runtime";
import { eventually } from "@banyan/testkit";
import { readConfig, volumeManagerService } from "@banyan/volume-manager";
import { CLUSTER_TOKEN, type Cluster } from "./cluster.ts";

export interface TestVolumes {
  /** Of the directory that its volumes lie in. */
  store: string;
  root: string;
  stop(): Promise<void>;
}

/** A volume-manager of the cluster, on a plain directory that the cluster's node reaches. */
export async function startVolumes({ nats, gatewayConfig, host, node, bus }: Cluster, env: NodeJS.ProcessEnv = {}): Promise<TestVolumes> {
  const dataDir = await mkdtemp(join(tmpdir(), "banyan-volumes-"));
  const root = join(dataDir, "volumes");
  const config = readConfig({
    NATS_URL: nats.url,
    DATABASE_URL: gatewayConfig.databaseUrl,
    BANYAN_CLUSTER_TOKEN: CLUSTER_TOKEN,
    BANYAN_DATA_DIR: dataDir,
    BANYAN_VOLUME_DIR: root,
    BANYAN_HEALTH_PORT: "0",
    ...env,
  });
  const service = await volumeManagerService.start(config, host);
  const store = (await readStore(root)).id;
  node.mounts.stores.set(store, "ok");
  await node.beat();
  // Until it answers: what it serves has to be known to the broker.
  const nobodys = { orgId: newId("org"), volume: newId("vol") };
  await eventually(async () => {
    const answer = await bus.call(GetVolume, nobodys).catch((error) => error.code);
    return answer === "volume.not_found";
  });
  return {
    store,
    root,
    async stop() {
      await service.stop();
      await rm(dataDir, { recursive: true });
    },
  };
}
