import type { BuildPlan, ImageDetails, ImageInfo } from "@banyan/sdk";
import { Command } from "commander";
import { ago, megabytes, properties, table } from "../print.ts";
import { showProgress } from "../progress.ts";
import { given, openSession, type Session } from "../session.ts";
import { readImage } from "../spec-file.ts";
import { collectSecret, number } from "../values.ts";

export function imageCommand(): Command {
  return new Command("image")
    .description("what a sandbox can be made from")
    .addCommand(buildCommand())
    .addCommand(listCommand())
    .addCommand(inspectCommand())
    .addCommand(nameCommand())
    .addCommand(removeCommand());
}

interface BuildOptions {
  file: string;
  context?: string;
  name?: string;
  secret?: Record<string, string>;
  force?: boolean;
  dryRun?: boolean;
  wait: boolean;
}

function buildCommand(): Command {
  return new Command("build")
    .description("make an image of a spec or a Dockerfile, or find it made")
    .option("-f, --file <path>", "a spec.json or a Dockerfile; - is standard input", "Dockerfile")
    .option("--context <directory>", "what the Dockerfile may COPY from")
    .option("-n, --name <name>", "a name for the image, as team/app:1")
    .option("--secret <name[=value]>", "for the steps that list it; without a value, from the environment; repeatable", collectSecret)
    .option("--force", "build also what failed just now")
    .option("--dry-run", "say what would be done, and do nothing")
    .option("--no-wait", "answer at once with the build's id")
    .addHelpText(
      "after",
      '\nExamples:\n  banyan image build -f environment.json --name team/app\n  banyan image build -f Dockerfile --context . --secret NPM_TOKEN\n  echo \'{"apt": ["jq"]}\' > jq.json && banyan image build -f jq.json --dry-run',
    )
    .action(async (options: BuildOptions, command: Command) => {
      const session = await openSession(command);
      const image = await readImage(options.file, options.context);
      if (options.dryRun) return session.show(...planOf(await session.banyan.images.plan(image)));
      const asked = given({ name: options.name, secrets: options.secret, force: options.force });
      if (!options.wait) {
        const requested = await session.banyan.images.request(image, asked);
        return session.show(requested, () => `${requested.build.id}  ${requested.build.state}  ${requested.image.id}`);
      }
      return build(session, image, asked);
    });
}

type Buildable = Parameters<Session["banyan"]["images"]["build"]>[0];

async function build({ banyan, json, show }: Session, image: Buildable, asked: object): Promise<void> {
  const progress = showProgress({ silent: json });
  try {
    const built = await banyan.images.build(image, { ...asked, onEvent: progress.tell });
    show(built, () => `${built.image.id}  ${built.build.cached ? "there already" : "built"}  ${built.image.names.join(" ")}`.trimEnd());
  } finally {
    progress.end();
  }
}

function planOf(plan: BuildPlan): [BuildPlan, () => string] {
  const took = plan.estimatedMs === null ? "unknown" : `about ${(plan.estimatedMs / 1_000).toFixed(1)} s`;
  const steps = plan.steps.map(({ index, title, cached }) => [index, cached ? "cached" : "to do", title]);
  return [
    plan,
    () =>
      [
        properties([
          ["image", plan.cached ? `${plan.imageId}, there already` : "to be built"],
          ["base", plan.base && `${plan.base.reference} = ${plan.base.pinnedTo}`],
          ["time", plan.cached ? "none" : took],
          ["warm slots", plan.warmSlots],
        ]),
        ...(steps.length === 0 ? [] : ["", table(["STEP", "STATE", "WHAT"], steps)]),
        ...plan.warnings.map((warning) => `warning: ${warning}`),
      ].join("\n"),
  ];
}

function listCommand(): Command {
  return new Command("ls")
    .alias("list")
    .description("list images, newest first")
    .option("-k, --kind <kind>", "only recipe, build or snapshot")
    .option("-m, --max <count>", "stop after so many", number, 1_000)
    .addHelpText("after", "\nExample:\n  banyan image ls --kind snapshot")
    .action(async (options: { kind?: ImageInfo["kind"]; max: number }, command: Command) => {
      const { banyan, show } = await openSession(command);
      const found: ImageInfo[] = [];
      for await (const image of banyan.images.list(given({ kind: options.kind }))) {
        if (found.length >= options.max) break;
        found.push(image);
      }
      show(found, () => {
        const now = Date.now();
        const rows = found.map(({ id, names, kind, state, sizeBytes, createdAt, lastUsedAt }) => [
          id,
          names.join(" ") || null,
          kind,
          state,
          megabytes(sizeBytes),
          ago(createdAt, now),
          ago(lastUsedAt, now),
        ]);
        return table(["ID", "NAMES", "KIND", "STATE", "SIZE MB", "AGE", "USED"], rows);
      });
    });
}

function inspectCommand(): Command {
  return new Command("inspect")
    .alias("get")
    .description("look at an image: its layers, history and settings, and who uses it")
    .argument("<id or name>")
    .addHelpText("after", "\nExample:\n  banyan image inspect team/app:1")
    .action(async (ref: string, _options: object, command: Command) => {
      const { banyan, show } = await openSession(command);
      const image = await banyan.images.get(ref);
      show(image, () => detailsText(image));
    });
}

function detailsText(image: ImageDetails): string {
  const { config } = image;
  const what = properties([
    ["id", image.id],
    ["names", image.names.join(" ") || null],
    ["kind", image.kind],
    ["state", image.error === null ? image.state : `${image.state} (${image.error})`],
    ["size", `${megabytes(image.sizeBytes)} MB in ${image.layers.length} layers`],
    ["base", image.base && `${image.base.reference} = ${image.base.pinnedTo}`],
    ["workdir", config.workdir],
    ["user", config.user],
    ["entrypoint", config.entrypoint.join(" ") || null],
    ["ready", config.ready && JSON.stringify(config.ready)],
    ["used by", `${image.usedBy.sandboxes} sandboxes`],
  ]);
  const rows = image.history.map(({ title, sizeBytes, digest }) => [megabytes(sizeBytes), digest?.slice(7, 19), title]);
  return rows.length === 0 ? what : `${what}\n\n${table(["MB", "LAYER", "MADE BY"], rows)}`;
}

function nameCommand(): Command {
  return new Command("name")
    .description("give an image one name more, taken from whichever image had it")
    .argument("<id>")
    .argument("<name>")
    .option("--remove", "take the name away instead")
    .addHelpText("after", "\nExamples:\n  banyan image name img_… team/app:stable\n  banyan image name img_… team/app:stable --remove")
    .action(async (id: string, name: string, options: { remove?: boolean }, command: Command) => {
      const { banyan, show } = await openSession(command);
      if (options.remove) await banyan.images.unname(id, name);
      else await banyan.images.name(id, name);
      show({ id, name, removed: options.remove ?? false }, () => `${id}  ${name}`);
    });
}

function removeCommand(): Command {
  return new Command("rm")
    .alias("delete")
    .description("delete images that nothing uses")
    .argument("<id...>")
    .addHelpText("after", "\nExample:\n  banyan image rm img_…")
    .action(async (ids: string[], _options: object, command: Command) => {
      const { banyan, show } = await openSession(command);
      for (const id of ids) {
        await banyan.images.delete(id);
        show({ id, deleted: true }, () => id);
      }
    });
}
