/** What can be read anywhere in it: a file of this machine, a Blob. */
export interface SeekableSource {
  size: number;
  /** Exactly so many bytes. */
  read(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>>;
}

/** `await fs.openAsBlob("large.bin")` makes a Blob of a file without reading it. */
export type UploadSource = SeekableSource | Blob | Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>;

interface Slicing {
  /** What lies before is there already. */
  from: number;
  size: number;
  partBytes: number;
}

/** The source's bytes from an offset on, in parts that are read as they are asked for. */
export async function* partsOf(
  source: UploadSource,
  { from, size, partBytes }: Slicing,
): AsyncGenerator<{ offset: number; bytes: Uint8Array<ArrayBuffer> }, void, undefined> {
  const reading = source instanceof ReadableStream ? streamReader(source, from) : readerOf(source);
  try {
    for (let offset = from; offset < size; offset += partBytes) {
      const length = Math.min(partBytes, size - offset);
      const bytes = await reading.read(offset, length);
      if (bytes.length !== length) throw new Error(`the source ended ${size - offset - bytes.length} bytes too early`);
      yield { offset, bytes };
    }
  } finally {
    await reading.end();
  }
}

interface Reading {
  read: SeekableSource["read"];
  end(): Promise<void>;
}

function readerOf(source: SeekableSource | Blob | Uint8Array<ArrayBuffer>): Reading {
  const end = async () => {};
  if (source instanceof Uint8Array) return { read: async (offset, length) => source.subarray(offset, offset + length), end };
  if (source instanceof Blob)
    return { read: async (offset, length) => new Uint8Array(await source.slice(offset, offset + length).arrayBuffer()), end };
  return { read: (offset, length) => source.read(offset, length), end };
}

/** In order only; what was sent before is read past. */
function streamReader(stream: ReadableStream<Uint8Array>, skip: number): Reading {
  const reader = stream.getReader();
  let rest: Uint8Array = new Uint8Array(0);
  let toSkip = skip;
  const fill = async (): Promise<boolean> => {
    while (rest.length === 0) {
      const { value, done } = await reader.read();
      if (done) return false;
      const passed = Math.min(toSkip, value.length);
      toSkip -= passed;
      rest = value.subarray(passed);
    }
    return true;
  };
  const read = async (_offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> => {
    const bytes = new Uint8Array(length);
    let filled = 0;
    while (filled < length && (await fill())) {
      const taken = rest.subarray(0, length - filled);
      bytes.set(taken, filled);
      filled += taken.length;
      rest = rest.subarray(taken.length);
    }
    return bytes.subarray(0, filled);
  };
  return { read, end: () => reader.cancel().catch(() => undefined) };
}
