const HEADER_BYTES = 8;
const STDERR = 2;

/** Takes apart what the engine sends of a container without a terminal: frames of one byte for the stream, three of nothing, four of length. */
export class Demultiplexer {
  readonly #onOutput: (stream: "stdout" | "stderr", bytes: Buffer) => void;
  readonly #header = Buffer.alloc(HEADER_BYTES);
  #headerBytes = 0;
  #payloadBytes = 0;

  constructor(onOutput: (stream: "stdout" | "stderr", bytes: Buffer) => void) {
    this.#onOutput = onOutput;
  }

  write(chunk: Buffer): void {
    let rest = chunk;
    while (rest.length > 0) {
      if (this.#payloadBytes === 0) {
        rest = this.#takeHeader(rest);
        continue;
      }
      const payload = rest.subarray(0, this.#payloadBytes);
      this.#payloadBytes -= payload.length;
      this.#onOutput(this.#header[0] === STDERR ? "stderr" : "stdout", payload);
      rest = rest.subarray(payload.length);
    }
  }

  #takeHeader(bytes: Buffer): Buffer {
    const taken = bytes.copy(this.#header, this.#headerBytes, 0, HEADER_BYTES - this.#headerBytes);
    this.#headerBytes += taken;
    if (this.#headerBytes === HEADER_BYTES) {
      this.#payloadBytes = this.#header.readUInt32BE(4);
      this.#headerBytes = 0;
    }
    return bytes.subarray(taken);
  }
}
