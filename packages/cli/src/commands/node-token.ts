import type { NodeToken } from "@banyan/sdk";
import { Command } from "commander";
import { ago, table } from "../print.ts";
import { openSession } from "../session.ts";
import { number } from "../values.ts";

/** Makes one by itself; what else is done with them is below it. */
export function tokenCommand(): Command {
  return new Command("token")
    .description("make a token with which machines join as nodes, shown this once; or list and revoke them")
    .option("--ttl <duration>", "how long it is good for: 90s, 30m, 1h, 2d", seconds, 3_600)
    .option("--uses <n>", "how many nodes may join with it", number, 1)
    .option("--node-id <id>", "the only node that may, and its id")
    .option("--name <name>", "what you tell it apart by")
    .addHelpText(
      "after",
      "\nExample, and on the new machine:\n  banyan node token --ttl 1h\n  BANYAN_GATEWAY_URL=https://… BANYAN_JOIN_TOKEN=bnj_… node services/runner-agent/src/main.ts",
    )
    .action(async (options: { ttl: number; uses: number; nodeId?: string; name?: string }, command: Command) => {
      const { banyan, show } = await openSession(command);
      const { ttl: ttlS, ...rest } = options;
      const token = await banyan.cluster.createNodeToken({ ttlS, ...rest });
      const good = `It is good until ${token.expiresAt}, ${token.uses} times.`;
      show(token, () => `${token.token}\nThis is shown only once. Its id is ${token.id}. ${good}`);
    })
    .addCommand(listCommand())
    .addCommand(removeCommand());
}

function listCommand(): Command {
  return new Command("ls")
    .alias("list")
    .description("list the tokens, without their secrets")
    .action(async (_options: object, command: Command) => {
      const { banyan, show } = await openSession(command);
      const tokens = await banyan.cluster.nodeTokens();
      show(tokens, () => tokensText(tokens, Date.now()));
    });
}

function removeCommand(): Command {
  return new Command("rm")
    .description("revoke tokens: no machine joins with them any more; those that have joined stay")
    .argument("<id...>")
    .action(async (ids: string[], _options: object, command: Command) => {
      const { banyan, show } = await openSession(command);
      for (const id of ids) {
        await banyan.cluster.revokeNodeToken(id);
        show({ id, revoked: true }, () => id);
      }
    });
}

export function tokensText(tokens: readonly NodeToken[], now: number): string {
  const rows = tokens.map((token) => [
    token.id,
    token.name,
    token.nodeId,
    `${token.usesLeft}/${token.uses}`,
    ago(token.createdAt, now),
    stateText(token, now),
  ]);
  return table(["ID", "NAME", "FOR NODE", "USES LEFT", "AGE", "STATE"], rows);
}

function stateText({ usesLeft, expiresAt }: NodeToken, now: number): string {
  const expiry = Date.parse(expiresAt);
  if (expiry <= now) return "expired";
  return usesLeft === 0 ? "used up" : `good for ${ago(new Date(now).toISOString(), expiry)}`;
}

const UNITS: Record<string, number> = { s: 1, m: 60, h: 3_600, d: 86_400 };

/** `90s`, `30m`, `1h`, `2d`, or plain seconds. */
export function seconds(text: string): number {
  const [, amount = "", unit = "s"] = /^(.*?)([smhd])?$/.exec(text) ?? [];
  return number(amount) * (UNITS[unit] ?? 1);
}
