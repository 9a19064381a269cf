import { type RunningGateway, readConfig as readGatewayConfig, startGateway } from "@banyan/gateway";
import { imageBuilderService, readConfig as readImageBuilderConfig } from "@banyan/image-builder";
import { readConfig as readRunnerConfig, runnerAgentService } from "@banyan/runner-agent";
import { readConfig as readSchedulerConfig, schedulerService } from "@banyan/scheduler";
import { defineService, type Entry, withConfig } from "@banyan/service";
import { readConfig as readVolumeManagerConfig, volumeManagerService } from "@banyan/volume-manager";

/**
 * All services in the order of their start. Each reads its configuration as it would alone; `environment` holds what was started here
 * in the place of what a deployment would name.
 */
export function allServices(environment: NodeJS.ProcessEnv, onGateway: (gateway: RunningGateway) => void): Entry[] {
  const gatewayService = defineService<ReturnType<typeof readGatewayConfig>>({
    name: "gateway",
    async start(config, host) {
      const gateway = await startGateway(config, host);
      onGateway(gateway);
      return gateway;
    },
  });
  return [
    withConfig(imageBuilderService, readImageBuilderConfig(environment)),
    // Before the node, which looks for the store; what is mounted for it goes after the node.
    withConfig(volumeManagerService, readVolumeManagerConfig(environment)),
    withConfig(schedulerService, readSchedulerConfig(environment)),
    withConfig(runnerAgentService, readRunnerConfig(environment)),
    withConfig(gatewayService, readGatewayConfig(environment)),
  ];
}
