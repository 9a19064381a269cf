import type { MountOptions, SandboxInfo } from "@banyan/sdk";
import { Command } from "commander";
import { ago, labelsText, properties, table } from "../print.ts";
import { showProgress } from "../progress.ts";
import { given, openSession } from "../session.ts";
import { readSpec } from "../spec-file.ts";
import { collect, collectLabelChange, collectPair, collectSecret, number, type Seconds, secondsOrNever, secondsOrNull } from "../values.ts";
import { mountText } from "../volume-text.ts";
import { collectMount } from "../volume-values.ts";
import { copyCommand } from "./copy.ts";
import { execCommand } from "./exec.ts";
import { mountCommand, unmountCommand } from "./mount.ts";
import { shellCommand } from "./shell.ts";

export function sandboxCommand(): Command {
  return new Command("sandbox")
    .alias("sb")
    .description("make sandboxes and work in them")
    .addCommand(createCommand())
    .addCommand(listCommand())
    .addCommand(getCommand())
    .addCommand(execCommand())
    .addCommand(shellCommand())
    .addCommand(copyCommand())
    .addCommand(mountCommand())
    .addCommand(unmountCommand())
    .addCommand(snapshotCommand())
    .addCommand(updateCommand())
    .addCommand(stopCommand())
    .addCommand(startCommand())
    .addCommand(removeCommand());
}

interface CreateOptions {
  image?: string;
  secret?: Record<string, string>;
  name?: string;
  env?: Record<string, string>;
  label?: Record<string, string>;
  cpu?: number;
  memoryMb?: number;
  pids?: number;
  diskMb?: number;
  egress?: "open" | "closed" | "allow";
  allow?: string[];
  volume?: MountOptions[];
  workdir?: string;
  user?: string;
  hostname?: string;
  idleTimeout?: Seconds;
  maxLifetime?: Seconds;
  wait?: number;
}

function createCommand(): Command {
  return new Command("create")
    .description("make a sandbox and start it")
    .option("-i, --image <name>", "what it is made from: a name or id, or a spec.json that is built where need be (default: default)")
    .option("--secret <name[=value]>", "for the build of a spec; without a value, from the environment; repeatable", collectSecret)
    .option("-n, --name <name>", "a name for people")
    .option("-e, --env <key=value>", "a variable; repeatable", collectPair)
    .option("-l, --label <key=value>", "a label; repeatable", collectPair)
    .option("--cpu <cores>", "fractions allowed", number)
    .option("--memory-mb <mb>", "", number)
    .option("--pids <count>", "processes and threads at once", number)
    .option("--disk-mb <mb>", "what it may write", number)
    .option("--egress <policy>", "open, closed or allow")
    .option("--allow <cidr>", "an address it may reach, with --egress allow; repeatable", collect)
    .option("-v, --volume <mount>", "<volume>[@<version>]:/path[:mode][:subpath], mode rw, ro or cow; repeatable", collectMount)
    .option("--workdir <path>")
    .option("--user <user>")
    .option("--hostname <name>")
    .option("--idle-timeout <s>", "seconds without activity until it stops, or never", secondsOrNever)
    .option("--max-lifetime <s>", "seconds until it is deleted, or never", secondsOrNever)
    .option("--wait <ms>", "how long to wait for a slot", number)
    .addHelpText(
      "after",
      "\nExamples:\n  banyan sandbox create\n  banyan sandbox create -e GREETING=hello -l task=42 --memory-mb 2048 --idle-timeout 3600\n  banyan sandbox create --image environment.json\n  banyan sandbox create --volume data:/data:cow",
    )
    .action(async (options: CreateOptions, command: Command) => {
      const { banyan, json, show } = await openSession(command);
      const { name, env, workdir, user, hostname, secret: secrets } = options;
      const image = options.image?.endsWith(".json") ? await readSpec(options.image) : options.image;
      const progress = showProgress({ silent: json });
      const sandbox = await banyan.sandboxes.create({
        ...given({
          image,
          secrets,
          name,
          env,
          workdir,
          user,
          hostname,
          labels: options.label,
          volumes: options.volume,
          waitMs: options.wait,
        }),
        limits: given({ cpu: options.cpu, memoryMb: options.memoryMb, pids: options.pids, diskMb: options.diskMb }),
        network: given({ egress: options.egress, allow: options.allow }),
        lifetime: given({ idleTimeoutS: secondsOrNull(options.idleTimeout), maxLifetimeS: secondsOrNull(options.maxLifetime) }),
        onEvent: progress.tell,
      });
      progress.end();
      show({ ...sandbox.info }, () => `${sandbox.id}  ${sandbox.startPath}, ${sandbox.timing.totalMs.toFixed(1)} ms`);
    });
}

function snapshotCommand(): Command {
  return new Command("snapshot")
    .description("make an image of a sandbox; it goes on")
    .argument("<id>")
    .option("-n, --name <name>", "a name for the image, as team/app:1")
    .addHelpText("after", "\nExample:\n  banyan sandbox snapshot sbx_… --name team/app:ready && banyan sandbox create -i team/app:ready")
    .action(async (id: string, options: { name?: string }, command: Command) => {
      const { banyan, show } = await openSession(command);
      const image = await banyan.sandboxes.at(id).snapshot(options);
      show(image, () => `${image.id}  ${image.names.join(" ")}  paused ${image.pausedMs.toFixed(1)} ms (${image.way})`);
    });
}

function listCommand(): Command {
  return new Command("ls")
    .alias("list")
    .description("list sandboxes, newest first")
    .option("-l, --label <key=value>", "only those with this label; repeatable", collectPair)
    .option("-s, --state <state>", "only those in this state; repeatable", collect)
    .option("-m, --max <count>", "stop after so many", number, 1_000)
    .addHelpText("after", "\nExample:\n  banyan sandbox ls -l task=42 -s running")
    .action(async (options: { label?: Record<string, string>; state?: SandboxInfo["state"][]; max: number }, command: Command) => {
      const { banyan, show } = await openSession(command);
      const found: SandboxInfo[] = [];
      for await (const { info } of banyan.sandboxes.list(given({ labels: options.label, states: options.state }))) {
        if (found.length >= options.max) break;
        found.push(info);
      }
      show(found, () => {
        const now = Date.now();
        const rows = found.map((s) => [
          s.id,
          s.name,
          s.state,
          s.image,
          s.nodeId,
          ago(s.createdAt, now),
          ago(s.lastActiveAt, now),
          labelsText(s.labels),
        ]);
        return table(["ID", "NAME", "STATE", "IMAGE", "NODE", "AGE", "ACTIVE", "LABELS"], rows);
      });
    });
}

function sandboxText(s: SandboxInfo): string {
  const { limits, lifetime, network } = s;
  return properties([
    ["id", s.id],
    ["name", s.name],
    ["state", s.stateReason === null ? s.state : `${s.state} (${s.stateReason})`],
    ["image", s.image],
    ["node", s.nodeId],
    ["hostname", s.hostname],
    ["labels", labelsText(s.labels)],
    ["limits", `${limits.cpu} cpu, ${limits.memoryMb} MB memory, ${limits.pids} pids, ${limits.diskMb} MB disk`],
    ["network", network.egress === "allow" ? `allow ${network.allow.join(" ")}` : network.egress],
    ["volumes", s.volumes.length === 0 ? null : s.volumes.map(mountText).join("; ")],
    ["idle", lifetime.idleTimeoutS === null ? "never" : `${lifetime.onIdle} after ${lifetime.idleTimeoutS} s`],
    ["expiry", s.expiresAt === null ? "never" : `${lifetime.onExpiry} at ${s.expiresAt}`],
    ["created", s.createdAt],
    ["started", s.startedAt],
    ["active", s.lastActiveAt],
    ["stopped", s.stoppedAt],
  ]);
}

function getCommand(): Command {
  return new Command("get")
    .description("look at a sandbox")
    .argument("<id>")
    .action(async (id: string, _options: object, command: Command) => {
      const { banyan, show } = await openSession(command);
      const { info } = await banyan.sandboxes.get(id);
      show(info, () => sandboxText(info));
    });
}

function updateCommand(): Command {
  return new Command("update")
    .description("change labels and lifetime")
    .argument("<id>")
    .option("-l, --label <key=value>", "set a label, or remove it with key=; repeatable", collectLabelChange)
    .option("--idle-timeout <s>", "seconds, or never", secondsOrNever)
    .option("--max-lifetime <s>", "seconds from its creation, or never", secondsOrNever)
    .option("--on-idle <what>", "stop or delete")
    .option("--on-expiry <what>", "stop or delete")
    .addHelpText("after", "\nExample:\n  banyan sandbox update sbx_… -l task=43 -l draft= --idle-timeout never")
    .action(async (id: string, options: UpdateOptions, command: Command) => {
      const { banyan, show } = await openSession(command);
      const { onIdle, onExpiry } = options;
      const lifetime = given({
        idleTimeoutS: secondsOrNull(options.idleTimeout),
        maxLifetimeS: secondsOrNull(options.maxLifetime),
        onIdle,
        onExpiry,
      });
      const labels = options.label;
      const info = await banyan.sandboxes
        .at(id)
        .update({ ...(labels && { labels }), ...(Object.keys(lifetime).length > 0 && { lifetime }) });
      show(info, () => sandboxText(info));
    });
}

interface UpdateOptions {
  label?: Record<string, string | null>;
  idleTimeout?: Seconds;
  maxLifetime?: Seconds;
  onIdle?: "stop" | "delete";
  onExpiry?: "stop" | "delete";
}

function stopCommand(): Command {
  return new Command("stop")
    .description("end its processes and keep its disk")
    .argument("<id...>")
    .option("--grace <ms>", "between SIGTERM to every process and SIGKILL", number)
    .action(async (ids: string[], options: { grace?: number }, command: Command) => {
      const { banyan, show } = await openSession(command);
      for (const id of ids) {
        const info = await banyan.sandboxes.at(id).stop(given({ graceMs: options.grace }));
        show(info, () => `${id}  ${info.state}`);
      }
    });
}

function startCommand(): Command {
  return new Command("start")
    .description("run a stopped sandbox again, on the disk it had")
    .argument("<id...>")
    .option("--wait <ms>", "how long to wait for a slot", number)
    .action(async (ids: string[], options: { wait?: number }, command: Command) => {
      const { banyan, show } = await openSession(command);
      for (const id of ids) {
        const info = await banyan.sandboxes.at(id).start(given({ waitMs: options.wait }));
        show(info, () => `${id}  ${info.path}, ${info.timing.totalMs.toFixed(1)} ms`);
      }
    });
}

function removeCommand(): Command {
  return new Command("rm")
    .alias("delete")
    .description("delete sandboxes and their disks")
    .argument("<id...>")
    .action(async (ids: string[], _options: object, command: Command) => {
      const { banyan, show } = await openSession(command);
      for (const id of ids) {
        await banyan.sandboxes.at(id).delete();
        show({ id, deleted: true }, () => id);
      }
    });
}
