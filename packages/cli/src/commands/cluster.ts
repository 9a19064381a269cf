import { Command } from "commander";
import { ago, labelsText, properties, table } from "../print.ts";
import { openSession } from "../session.ts";

export function nodeCommand(): Command {
  const list = new Command("ls")
    .alias("list")
    .description("list nodes")
    .action(async (_options: object, command: Command) => {
      const { banyan, show } = await openSession(command);
      const nodes = await banyan.nodes();
      show(nodes, () => {
        const now = Date.now();
        const rows = nodes.map(({ id, state, reachable, capacity, used, pool, labels, lastHeartbeatAt }) => [
          id,
          reachable ? state : "unreachable",
          `${used.sandboxes}/${capacity.sandboxes}`,
          `${used.cpu}/${capacity.cpu}`,
          `${used.memoryMb}/${capacity.memoryMb}`,
          `${pool.free}/${pool.target}`,
          ago(lastHeartbeatAt, now),
          labelsText(labels),
        ]);
        return table(["ID", "STATE", "SANDBOXES", "CPU", "MEMORY MB", "POOL", "SEEN", "LABELS"], rows);
      });
    });
  return new Command("node").description("the nodes of this cluster (needs an admin's key)").addCommand(list);
}

export function usageCommand(): Command {
  return new Command("usage")
    .description("what your organisation holds, and its quota")
    .action(async (_options: object, command: Command) => {
      const { banyan, show } = await openSession(command);
      const held = await banyan.usage();
      const { organisation, usage } = held;
      const { quota } = organisation;
      show(held, () =>
        properties([
          ["organisation", organisation.name],
          ["sandboxes", `${usage.sandboxes} of ${quota.sandboxes}`],
          ["cpu", `${usage.cpu} of ${quota.cpu}`],
          ["memory MB", `${usage.memoryMb} of ${quota.memoryMb}`],
        ]),
      );
    });
}
