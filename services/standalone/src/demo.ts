import { type Banyan, isBanyanError } from "@banyan/sdk";
import { bold, dim, say } from "./terminal.ts";

const READY_MS = 900_000;
const POLL_MS = 250;
const UNPACK_MS = 120_000;
const NOTABLE_S = 1;
const ROUNDS = 6;
const WAIT_FOR_SLOT_MS = 60_000;
const FILE = "/workspace/notes.txt";
const TEXT = "A banyan is one tree that becomes a forest.\n";
const PYTHON = `
import collections, sys
words = collections.Counter(sys.stdin.read().split())
print(sum(words.values()), "words,", len(words), "different, longest:", max(words, key=len))
`;

interface Row {
  what: string;
  ms: number;
  note: string;
}

/** The same walk several times: the first as a newcomer meets it, the rest for what it takes from then on, each on a full pool. Throws when a step answers wrong. */
export async function runDemo(banyan: Banyan): Promise<void> {
  await untilReady(banyan, say);
  await unpackImage(banyan);
  const rounds: Row[][] = [];
  for (let round = 0; round < ROUNDS; round++) {
    await untilReady(banyan);
    rounds.push(await walk(banyan));
  }
  print(rounds);
}

/** From creating a sandbox to deleting it over the real API, each step timed as a client sees it. */
async function walk(banyan: Banyan): Promise<Row[]> {
  const rows: Row[] = [];
  const timed = async <T>(what: string, work: () => Promise<T>, noteOf: (result: T) => string): Promise<T> => {
    const from = performance.now();
    const result = await work();
    rows.push({ what, ms: performance.now() - from, note: noteOf(result) });
    return result;
  };
  const create = () => banyan.sandboxes.create({ waitMs: WAIT_FOR_SLOT_MS });
  const sandbox = await timed("create a sandbox", create, ({ startPath }) => startPath);
  try {
    const count = () => sandbox.exec(["python3", "-c", PYTHON], { stdin: TEXT });
    const read = () => sandbox.files.read(FILE);
    const start = () => sandbox.start({ waitMs: WAIT_FOR_SLOT_MS });
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
    const counted = await timed("run Python on it", count, ({ stdout }) => stdout.trim());
    expectText("9 words, 9 different", counted.stdout);
    expectText(TEXT, await timed("read the file", read, (text) => `${text.length} bytes`));
    await timed(
      "stop it",
      () => sandbox.stop(),
      ({ state }) => state,
    );
    await timed("start it again", start, ({ path }) => path);
    expectText(TEXT, await timed("read the file again", read, () => "still there"));
  } finally {
    await timed(
      "delete it",
      () => sandbox.delete(),
      () => "gone",
    );
  }
  return rows;
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
async function untilReady(banyan: Banyan, tell: (text: string) => void = () => {}): Promise<void> {
  const endsAt = performance.now() + READY_MS;
  let said = "";
  for (;;) {
    const waitingFor = await missing(banyan);
    if (waitingFor === null) return;
    if (waitingFor !== said) tell(`  ${dim(waitingFor)}`);
    said = waitingFor;
    if (performance.now() > endsAt) throw new Error(`Not ready after ${READY_MS / 1000} s. ${waitingFor}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

async function missing(banyan: Banyan): Promise<string | null> {
  const image = await banyan.images.get("default").catch(() => null);
  if (image?.state !== "ready") return "Making the default image; the first time takes a minute or two.";
  const nodes = (await banyan.nodes()).filter(({ state, reachable }) => state === "ready" && reachable);
  if (nodes.length === 0) return "Waiting for the node.";
  return nodes.some(({ pool }) => pool.free >= pool.target) ? null : "Warming up the pool of slots.";
}

function print(rounds: readonly Row[][]): void {
  const [first = [], ...rest] = rounds;
  const width = Math.max(...first.map(({ what }) => what.length));
  say();
  say(`  ${bold(`${"".padEnd(width)}  first ms   then ms`)}   ${dim(`median of ${rest.length}`)}`);
  first.forEach(({ what, ms, note }, step) => {
    const then = median(rest.map((rows) => rows[step]?.ms ?? 0));
    say(`  ${what.padEnd(width)}  ${ms.toFixed(1).padStart(8)}  ${then.toFixed(1).padStart(8)}   ${dim(note)}`);
  });
}

const median = (values: number[]): number => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;

/** What went wrong, for the terminal. */
export function demoFailure(error: unknown): string {
  if (isBanyanError(error)) return `${error.message} (${error.code})`;
  return error instanceof Error ? error.message : String(error);
}
