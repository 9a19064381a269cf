const LINES_MAX = 50;

/** The end of what was said: what a failure is read from. */
export class LastLines {
  readonly #lines: string[] = [];

  add(line: string): void {
    this.#lines.push(line);
    if (this.#lines.length > LINES_MAX) this.#lines.shift();
  }

  get(): string[] {
    return [...this.#lines];
  }
}
