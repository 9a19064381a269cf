import type { DrainedNode, Node } from "@banyan/sdk";
import { Command } from "commander";
import { ago, labelsText, table } from "../print.ts";
import { openSession } from "../session.ts";
import { tokenCommand } from "./node-token.ts";

const LOOK_EVERY_MS = 1_000;

export function nodeCommand(): Command {
  return new Command("node")
    .description("the nodes of this cluster (needs an admin's key)")
    .addCommand(listCommand())
    .addCommand(cordonCommand("cordon", "put no new sandboxes on a node"))
    .addCommand(cordonCommand("uncordon", "put new sandboxes on it again; ends its draining, too"))
    .addCommand(drainCommand())
    .addCommand(removeCommand())
    .addCommand(tokenCommand());
}

function nodesText(nodes: readonly Node[]): string {
  const now = Date.now();
  const rows = nodes.map((node) => [
    node.id,
    stateText(node),
    `${node.used.sandboxes}/${node.capacity.sandboxes}`,
    `${node.used.cpu}/${node.capacity.cpu}`,
    `${node.used.memoryMb}/${node.capacity.memoryMb}`,
    `${node.pool.free}/${node.pool.target}`,
    storesText(node),
    ago(node.lastHeartbeatAt, now),
    labelsText(node.labels),
  ]);
  return table(["ID", "STATE", "SANDBOXES", "CPU", "MEMORY MB", "POOL", "STORES", "SEEN", "LABELS"], rows);
}

/** Of volumes: `2 ok`, or which are lost and why. */
function storesText({ stores }: Node): string {
  const lost = stores
    .filter(({ state }) => state === "lost")
    .map(({ store, reason }) => `lost ${store}${reason === null ? "" : `: ${reason}`}`);
  if (lost.length > 0) return lost.join("; ");
  return stores.length === 0 ? "-" : `${stores.length} ok`;
}

function stateText({ state, reachable, cordoned, draining }: Node): string {
  const wish = draining !== null ? ["draining"] : cordoned ? ["cordoned"] : [];
  return [reachable ? state : "unreachable", ...wish].join(",");
}

function listCommand(): Command {
  return new Command("ls")
    .alias("list")
    .description("list nodes")
    .action(async (_options: object, command: Command) => {
      const { banyan, show } = await openSession(command);
      const nodes = await banyan.nodes();
      show(nodes, () => nodesText(nodes));
    });
}

function cordonCommand(name: "cordon" | "uncordon", description: string): Command {
  return new Command(name)
    .description(description)
    .argument("<id>")
    .action(async (id: string, _options: object, command: Command) => {
      const { banyan, show } = await openSession(command);
      const node = await banyan.cluster[name](id);
      show(node, () => nodesText([node]));
    });
}

function drainCommand(): Command {
  return new Command("drain")
    .description("empty a node: what runs goes on on other nodes with its files, and without its processes")
    .argument("<id>")
    .option("--stop", "leave what ran stopped; it can be started on any node")
    .option("--no-wait", "do not wait until it is empty")
    .addHelpText("after", "\nExample:\n  banyan node drain node-3 && banyan node rm node-3")
    .action(async (id: string, options: { stop?: boolean; wait: boolean }, command: Command) => {
      const { banyan, json, show } = await openSession(command);
      const mode = options.stop === true ? "stop" : "move";
      let drained = await banyan.cluster.drain(id, { mode });
      while (options.wait && (drained.left > 0 || drained.failed.length > 0)) {
        if (!json) process.stderr.write(`${drainText(drained)}\n`);
        await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
        drained = await banyan.cluster.drain(id, { mode });
      }
      show(drained, () => drainText(drained));
    });
}

function drainText({ node, left, failed }: DrainedNode): string {
  const lines = failed.map(({ sandboxId, reason }) => `  ${sandboxId}: ${reason}; it is tried again`);
  return [left === 0 ? `${node.id} is empty` : `${node.id} still holds ${left}`, ...lines].join("\n");
}

function removeCommand(): Command {
  return new Command("rm")
    .description("forget a node that holds nothing any more; end its runner-agent first")
    .argument("<id>")
    .option("--force", "also one that is gone for good: what it held is failed then")
    .action(async (id: string, options: { force?: boolean }, command: Command) => {
      const { banyan, show } = await openSession(command);
      const { lost } = await banyan.cluster.remove(id, options);
      show({ id, lost }, () => (lost === 0 ? id : `${id}; ${lost} sandboxes were lost with it`));
    });
}
