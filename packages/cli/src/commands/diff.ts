import { createWriteStream } from "node:fs";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { DiffEntry, DiffRange, SandboxHandle } from "@banyan/sdk";
import { Command } from "commander";
import { diffLine, summaryLine } from "../diff-text.ts";
import { given, openSession, type Session } from "../session.ts";

interface DiffCommandOptions {
  against?: string;
  path?: string;
  patch?: boolean;
  content?: boolean;
  tar?: string;
}

export function diffCommand(): Command {
  return new Command("diff")
    .description("what a sandbox has changed since it was made or forked")
    .argument("<sandbox>")
    .option("--against <sandbox>", "another sandbox of the same tree, in place of what this one was made from")
    .option("--path <path>", "only this path and what is below it")
    .option("-p, --patch", "the text files as a patch, for `git apply`")
    .option("--tar <file>", "what was added and changed as tar, with .wh.<name> for what was deleted; - for standard output")
    .option("--content", "with --json: the diffs of text files too")
    .addHelpText(
      "after",
      "\nA line is A (added), M (changed; how) or D (deleted), and the path.\n\nExamples:\n  banyan diff sbx_…\n  banyan diff sbx_child --against sbx_parent --path /workspace\n  banyan diff sbx_… --path /workspace --patch | git apply -p2\n  banyan diff sbx_… --tar changes.tar",
    )
    .action(async (id: string, options: DiffCommandOptions, command: Command) => {
      const chosen = [options.patch, options.tar !== undefined, options.content].filter(Boolean);
      if (chosen.length > 1) command.error("error: --patch, --tar and --content are three forms: choose one");
      const session = await openSession(command);
      if (options.content && !session.json) command.error("error: --content belongs to --json; --patch shows the same as text");
      await show(session, session.banyan.sandboxes.at(id), options);
    });
}

async function show(session: Session, sandbox: SandboxHandle, { patch, tar, content, ...options }: DiffCommandOptions): Promise<void> {
  const range: DiffRange = given(options);
  if (patch) return write(await sandbox.diffPatch(range), "-");
  if (tar !== undefined) return write(await sandbox.diffTar(range), tar);
  if (session.json) return list(sandbox, { ...range, ...(content && { content }) }, (entry) => `${JSON.stringify(entry)}\n`, false);
  return list(sandbox, range, (entry) => `${diffLine(entry)}\n`, true);
}

/** A line for each as they come: nobody has to hold a million of them. */
async function list(
  sandbox: SandboxHandle,
  options: DiffRange & { content?: boolean },
  line: (entry: DiffEntry) => string,
  withSummary: boolean,
): Promise<void> {
  const first = await sandbox.diff(options);
  for (let page = first; ; ) {
    process.stdout.write(page.entries.map(line).join(""));
    if (page.nextCursor === null) break;
    page = await sandbox.diff({ ...options, cursor: page.nextCursor });
  }
  if (withSummary && first.summary !== null) process.stdout.write(`${summaryLine(first.summary, first.running)}\n`);
}

async function write(content: ReadableStream<Uint8Array>, to: string): Promise<void> {
  const bytes = Readable.fromWeb(content);
  if (to === "-") await pipeline(bytes, process.stdout, { end: false });
  else await pipeline(bytes, createWriteStream(to));
}
