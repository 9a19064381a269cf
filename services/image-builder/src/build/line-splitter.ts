/** What is longer comes as several lines. */
const LINE_BYTES_MAX = 8 * 1024;
const NEWLINE = 0x0a;

/** Bytes in, lines out: as many as there are, none longer than its bound. */
export class LineSplitter {
  readonly #onLine: (line: string) => void;
  readonly #bytesMax: number;
  #rest: Buffer = Buffer.alloc(0);

  constructor(onLine: (line: string) => void, bytesMax = LINE_BYTES_MAX) {
    this.#onLine = onLine;
    this.#bytesMax = bytesMax;
  }

  write(chunk: Buffer): void {
    let rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    for (;;) {
      const newline = rest.indexOf(NEWLINE);
      if (newline === -1 && rest.length < this.#bytesMax) break;
      const end = newline === -1 ? this.#bytesMax : Math.min(newline, this.#bytesMax);
      this.#onLine(lineOf(rest.subarray(0, end)));
      rest = rest.subarray(end === newline ? end + 1 : end);
    }
    this.#rest = Buffer.from(rest);
  }

  end(): void {
    if (this.#rest.length > 0) this.#onLine(lineOf(this.#rest));
    this.#rest = Buffer.alloc(0);
  }
}

/** What a terminal would show of it: a progress bar redraws its line. No database keeps a NUL. */
function lineOf(bytes: Buffer): string {
  const text = bytes.toString("utf8").replace(/\r+$/, "").replaceAll("\0", "\u{fffd}");
  return text.slice(text.lastIndexOf("\r") + 1);
}
