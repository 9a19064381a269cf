import picocolors from "picocolors";

const LABEL_WIDTH = 62;
const colors = picocolors.createColors(picocolors.isColorSupported && process.stdout.isTTY === true);

/** A closed terminal or pipe must not end the process before it has stopped in order. */
process.stdout.on("error", () => {});
process.stderr.on("error", () => {});

export const say = (text = ""): void => void process.stdout.write(`${text}\n`);
export const complain = (text: string): void => void process.stderr.write(`${text}\n`);
export const bold = (text: string): string => colors.bold(text);
export const dim = (text: string): string => colors.dim(text);

/** One line a step, with its seconds: the same form as the set-up before it. */
export async function step<T>(label: string, work: () => Promise<T>): Promise<T> {
  const from = performance.now();
  const seconds = () => `${((performance.now() - from) / 1000).toFixed(1).padStart(6)} s`;
  process.stdout.write(`  ${label.padEnd(LABEL_WIDTH)} `);
  try {
    const result = await work();
    say(seconds());
    return result;
  } catch (error) {
    say(`failed after ${seconds()}`);
    throw error;
  }
}
