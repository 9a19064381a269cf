import type { Banyan, CopyResult, VolumeCopyOptions } from "@banyan/sdk";
import { Command } from "commander";
import { colours } from "../colours.ts";
import { type CopyDisplay, showCopyProgress } from "../copy-progress.ts";
import { printable } from "../progress.ts";
import { given, openSession } from "../session.ts";
import { notesPath, uploadNotes } from "../upload-notes.ts";
import { bytesText } from "../volume-text.ts";
import { type InVolume, parseInVolume } from "../volume-values.ts";

/** As shells have it. */
const INTERRUPTED_CODE = 130;

interface Options {
  checksum?: boolean;
  sizeOnly?: boolean;
  delete?: boolean;
  dryRun?: boolean;
  owners?: boolean;
  verbose?: boolean;
}

const NOTES = `
A place in a volume is written <volume>:/path, in one of its versions <volume>@<version>:/path; ./a:b is a file here. The content of a directory
is copied into the other, which is made where it is missing; a file copied to a directory lands in it. What has the same size and time on both
sides is left alone. Broken off, the same command goes on from there. What cannot be copied is named, the rest goes on, and the exit code is 1.

Examples:
  banyan volume cp ./data data:/data
  banyan volume cp --delete --dry-run ./data data:/data
  banyan volume cp data:/data/result.csv .
  banyan volume cp data@v1:/ ./as-it-was`;

export function volumeCopyCommand(): Command {
  return new Command("cp")
    .description("copy into a volume or out of it: only what has changed")
    .argument("<from>")
    .argument("<to>")
    .option("--checksum", "compare what has the same size by its content")
    .option("--size-only", "compare by size alone, for stores that keep no times")
    .option("--delete", "remove what is only there")
    .option("--dry-run", "only say what would be done")
    .option("--owners", "into a volume: keep owners (default: what is copied belongs to root)")
    .option("-v, --verbose", "name each thing that is done")
    .addHelpText("after", NOTES)
    .action(async (from: string, to: string, options: Options, command: Command) => {
      const { banyan, json, show } = await openSession(command);
      const [source, target] = [parseInVolume(from), parseInVolume(to)];
      if ((source === null) === (target === null))
        command.error(`error: one side must be in a volume (<volume>:/path), the other here: ${from} -> ${to}`);
      if (target !== null && target.version !== null) command.error(`error: a version never changes: ${to}`);
      const display = showCopyProgress({ silent: json });
      const leaving = new AbortController();
      const leave = (): void => leaving.abort();
      process.once("SIGINT", leave);
      try {
        const copying = { ...optionsOf(options, display), signal: leaving.signal };
        const result = await copy(banyan, { from, to, source, target }, copying);
        display.end();
        show(result, () => resultText(result, options.dryRun === true));
        if (result.failed > 0) process.exitCode = 1;
      } catch (error) {
        display.end();
        if (!leaving.signal.aborted) throw error;
        process.stderr.write("stopped; the same command goes on from here\n");
        process.exitCode = INTERRUPTED_CODE;
      } finally {
        process.off("SIGINT", leave);
      }
    });
}

interface Places {
  from: string;
  to: string;
  source: InVolume | null;
  target: InVolume | null;
}

async function copy(banyan: Banyan, { from, to, source, target }: Places, options: VolumeCopyOptions): Promise<CopyResult> {
  if (target !== null) {
    const { id } = await banyan.volumes.get(target.volume);
    return banyan.volumes.at(id).copyIn(from, target.path, { ...options, notes: uploadNotes(notesPath(process.env), id) });
  }
  if (source === null) throw new Error("one side is in a volume");
  const { version } = source;
  return banyan.volumes.at(source.volume).copyOut(source.path, to, { ...options, ...(version !== null && { version }) });
}

function optionsOf(options: Options, display: CopyDisplay): VolumeCopyOptions {
  const { checksum, sizeOnly, delete: deletes, dryRun, owners } = options;
  const named = options.verbose === true || dryRun === true;
  return {
    ...given({ checksum, sizeOnly, delete: deletes, dryRun, owners }),
    onProgress: display.tell,
    onProblem: ({ path, reason }) => display.line(`${colours.red("error:")} ${printable(path === "" ? "." : path)}: ${printable(reason)}`),
    ...(named && { onChange: ({ kind, path }) => display.line(`${kind}  ${printable(path)}`) }),
  };
}

function resultText({ copied, bytes, modes, unchanged, deleted, skipped, failed }: CopyResult, isDry: boolean): string {
  const parts = [
    `${isDry ? "would copy" : "copied"} ${copied} (${bytesText(bytes)})`,
    ...(modes > 0 ? [`${modes} of another mode or owner`] : []),
    `${unchanged} unchanged`,
    ...(deleted > 0 ? [`${deleted} deleted`] : []),
    ...(skipped > 0 ? [`${skipped} skipped: no file, directory or link`] : []),
    ...(failed > 0 ? [colours.red(`${failed} failed`)] : []),
  ];
  return parts.join(", ");
}
