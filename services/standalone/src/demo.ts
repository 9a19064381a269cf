import { type Banyan, isBanyanError } from "@banyan/sdk";
import { bold, dim, say } from "./terminal.ts";

const READY_MS = 900_000;
const POLL_MS = 250;
const UNPACK_MS = 120_000;
const NOTABLE_S = 1;
const WAIT_FOR_SLOT_MS = 60_000;
const FILE = "/workspace/notes.txt";
const TEXT = "A banyan is one tree that becomes a forest.\n";
const PYTHON = `
import collections, sys
words = collections.Counter(sys.stdin.read().split())
print(sum(words.values()), "words,", len(words), "different, longest:", max(words, key=len))
`;

/** A short walk over the real API, each step timed as a client sees it. Throws when a step answers wrong. */
export async function runDemo(banyan: Banyan): Promise<void> {
  await untilReady(banyan);
  await unpackImage(banyan);
  const rows: { what: string; ms: number; note: string }[] = [];
  const timed = async <T>(what: string, work: () => Promise<T>, noteOf: (result: T) => string = () => ""): Promise<T> => {
    const from = performance.now();
    const result = await work();
    rows.push({ what, ms: performance.now() - from, note: noteOf(result) });
    return result;
  };

  const sandbox = await timed(
    "create a sandbox",
    () => banyan.sandboxes.create({ waitMs: WAIT_FOR_SLOT_MS }),
    (made) => made.startPath,
  );
  try {
    await timed(
      "run a command",
      () => sandbox.exec(["/bin/true"]),
      ({ exitCode }) => `exit code ${exitCode}`,
    );
    await timed(
      "write a file",
      () => sandbox.files.write(FILE, TEXT),
      ({ bytesWritten }) => `${bytesWritten} bytes`,
    );
    const counted = () => sandbox.exec(["python3", "-c", PYTHON], { stdin: TEXT });
    expectText("9 words, 9 different", (await timed("run Python on it", counted, ({ stdout }) => stdout.trim())).stdout);
    expectText(
      TEXT,
      await timed(
        "read the file",
        () => sandbox.files.read(FILE),
        (text) => `${text.length} bytes`,
      ),
    );
    await timed("stop it", () => sandbox.stop());
    await timed(
      "start it again",
      () => sandbox.start({ waitMs: WAIT_FOR_SLOT_MS }),
      ({ path }) => path,
    );
    expectText(
      TEXT,
      await timed(
        "read the file again",
        () => sandbox.files.read(FILE),
        () => "still there",
      ),
    );
  } finally {
    await timed("delete it", () => sandbox.delete());
  }
  print(rows);
}

/** A node unpacks an image for the first sandbox of it; that one is not what the others are like. */
async function unpackImage(banyan: Banyan): Promise<void> {
  const from = performance.now();
  await (await banyan.sandboxes.create({ waitMs: UNPACK_MS })).delete();
  const seconds = (performance.now() - from) / 1_000;
  if (seconds > NOTABLE_S) say(`  ${dim(`The node unpacked the image in ${seconds.toFixed(1)} s; this happens once.`)}`);
}

function expectText(expected: string, actual: string): void {
  if (!actual.includes(expected))
    throw new Error(`the demonstration expected ${JSON.stringify(expected)} and got ${JSON.stringify(actual)}`);
}

/** Says what is waited for, each time it changes. */
async function untilReady(banyan: Banyan): Promise<void> {
  const endsAt = performance.now() + READY_MS;
  let said = "";
  for (;;) {
    const waitingFor = await missing(banyan);
    if (waitingFor === null) return;
    if (waitingFor !== said) say(`  ${dim(waitingFor)}`);
    said = waitingFor;
    if (performance.now() > endsAt) throw new Error(`Not ready after ${READY_MS / 1000} s. ${waitingFor}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

async function missing(banyan: Banyan): Promise<string | null> {
  const image = (await banyan.images()).find(({ name, state }) => name === "default" && state !== "failed");
  if (image?.state !== "ready") return "Making the default image; the first time takes a minute or two.";
  const nodes = (await banyan.nodes()).filter(({ state, reachable }) => state === "ready" && reachable);
  if (nodes.length === 0) return "Waiting for the node.";
  return nodes.some(({ pool }) => pool.free > 0) ? null : "Warming up the pool of slots.";
}

function print(rows: readonly { what: string; ms: number; note: string }[]): void {
  const width = Math.max(...rows.map(({ what }) => what.length));
  say();
  say(`  ${bold("what".padEnd(width))}  ${bold("      ms")}`);
  for (const { what, ms, note } of rows) say(`  ${what.padEnd(width)}  ${ms.toFixed(1).padStart(8)}  ${dim(note)}`);
}

/** What went wrong, for the terminal. */
export function demoFailure(error: unknown): string {
  if (isBanyanError(error)) return `${error.message} (${error.code})`;
  return error instanceof Error ? error.message : String(error);
}
