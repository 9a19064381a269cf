import type { Engine } from "./engine.ts";
import { asking, orNull, saidByEngine, statusOf } from "./engine-fault.ts";

/** Where steps with an open network are: apart from other containers of the host, and from one another. */
export const BUILD_NETWORK = "banyan-build";
const GONE = /could not find bridge|network \S+ not found/;

export function ensureBuildNetwork(engine: Engine): Promise<void> {
  return engine.once(BUILD_NETWORK, () => asking("make the network of builds", () => make(engine)));
}

async function make({ docker }: Engine): Promise<void> {
  if ((await orNull(docker.getNetwork(BUILD_NETWORK).inspect())) !== null) return;
  try {
    await docker.createNetwork({
      Name: BUILD_NETWORK,
      Driver: "bridge",
      CheckDuplicate: true,
      Options: { "com.docker.network.bridge.enable_icc": "false" },
    });
  } catch (error) {
    // Another builder was first.
    if (statusOf(error) !== 409) throw error;
  }
}

/** The engine's note of a network may outlive the bridge itself, or the other way round. */
export function isNetworkGone(error: unknown): boolean {
  return GONE.test(saidByEngine(error));
}

/** Made anew; refused by the engine while other steps are on it, which then is a failure like any other. */
export function remakeBuildNetwork(engine: Engine): Promise<void> {
  return engine.once(`remake ${BUILD_NETWORK}`, () =>
    asking("make the network of builds anew", async () => {
      await orNull(engine.docker.getNetwork(BUILD_NETWORK).remove());
      await make(engine);
    }),
  );
}
