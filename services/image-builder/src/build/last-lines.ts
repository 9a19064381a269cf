const LINES_MAX = 50;
/** Of the lines shown, those that the last of stderr have for sure. */
const STDERR_LINES = 20;

interface Line {
  seq: number;
  text: string;
}

/**
 * The end of what was said: what a failure is read from. The two streams reach us by two pipes, so that much on one may come after the word on
 * the other that says what went wrong.
 */
export class LastLines {
  readonly #lines: Record<"stdout" | "stderr", Line[]> = { stdout: [], stderr: [] };
  #seq = 0;

  add(stream: "stdout" | "stderr", text: string): void {
    const lines = this.#lines[stream];
    lines.push({ seq: this.#seq++, text });
    if (lines.length > LINES_MAX) lines.shift();
  }

  /** In the order in which they came. */
  get(): string[] {
    const { stdout, stderr } = this.#lines;
    const sure = stderr.slice(-STDERR_LINES);
    const others = [...stdout, ...stderr.slice(0, -STDERR_LINES)].toSorted(bySeq).slice(sure.length - LINES_MAX);
    return [...others, ...sure].toSorted(bySeq).map(({ text }) => text);
  }
}

const bySeq = (one: Line, other: Line): number => one.seq - other.seq;
