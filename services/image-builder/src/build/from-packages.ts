import { spawn } from "node:child_process";
import { fault, type LayerRef } from "@banyan/contracts";
import type { Logger } from "@banyan/kernel";
import type { Archive } from "../domain/archive.ts";
import { dpkgOptions, finishScript, type Recipe } from "../domain/recipe.ts";
import { hostArchive } from "./host-archive.ts";
import { writeLayer } from "./layer-file.ts";
import { readLines } from "./read-lines.ts";

const BUILD_MS_MAX = 600_000;
const SAID_LINES_MAX = 20;
/** Of what mmdebstrap says, the lines that tell how far it is. */
const PROGRESS = /^I: (downloading|extracting|installing|creating)/;

/** Makes the layer from Debian packages on this host. Needs root and an archive, no registry and no Docker Engine. */
export async function buildFromPackages(recipe: Recipe, path: string, options: { logger: Logger; signal: AbortSignal }): Promise<LayerRef> {
  const archive = hostArchive(recipe.suite);
  const signal = AbortSignal.any([options.signal, AbortSignal.timeout(BUILD_MS_MAX)]);
  const child = spawn("mmdebstrap", mmdebstrapArgs(recipe, archive), {
    stdio: ["ignore", "pipe", "pipe"],
    signal,
    killSignal: "SIGTERM",
    env: buildEnv,
  });
  const said: string[] = [];
  const listening = readLines(child.stderr, (line) => {
    said.push(line);
    if (said.length > SAID_LINES_MAX) said.shift();
    if (PROGRESS.test(line)) options.logger.info({ image: recipe.name }, `image: ${line.slice(3)}`);
  });
  const ended = new Promise<number | null>((resolve, reject) => child.once("error", reject).once("close", resolve));
  const writing = writeLayer(child.stdout, path);
  const [exit, layer] = await Promise.allSettled([ended, writing, listening]);
  options.signal.throwIfAborted();
  if (exit.status === "fulfilled" && exit.value === 0 && layer.status === "fulfilled") return layer.value;
  const cause = exit.status === "rejected" ? exit.reason : layer.status === "rejected" ? layer.reason : undefined;
  throw fault(
    "image.build_failed",
    { step: "packages", suite: archive.suite, output: said.join("\n") },
    { cause, message: reasonOf(exit, said) },
  );
}

const buildEnv = {
  PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
  LC_ALL: "C.UTF-8",
  DEBIAN_FRONTEND: "noninteractive",
};

function reasonOf(exit: PromiseSettledResult<number | null>, said: readonly string[]): string {
  if (exit.status === "rejected") return exit.reason?.code === "ENOENT" ? "mmdebstrap is not installed" : "mmdebstrap could not be run";
  const error = said.findLast((line) => line.startsWith("E: ")) ?? said.at(-1) ?? "no output";
  return `mmdebstrap ended with ${exit.value}: ${error}`;
}

function mmdebstrapArgs(recipe: Recipe, archive: Archive): string[] {
  const finish = `chroot "$1" sh -ec ${quote(finishScript(recipe))}`;
  const sources = `rm -f "$1"/etc/apt/sources.list.d/*; printf '%s\\n' ${archive.sources.map(quote).join(" ")} > "$1/etc/apt/sources.list"`;
  return [
    "--mode=root",
    "--variant=minbase",
    "--format=tar",
    "--skip=output/dev,output/mknod",
    `--include=${recipe.packages.join(",")}`,
    '--aptopt=APT::Install-Recommends "false"',
    '--aptopt=Acquire::Retries "3"',
    ...dpkgOptions(recipe).map((option) => `--dpkgopt=${option}`),
    `--customize-hook=${finish}`,
    `--customize-hook=${sources}`,
    archive.suite,
    "-",
    ...archive.sources,
  ];
}

const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
