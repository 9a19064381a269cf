/** What comes is asked for before it is needed, at most so far ahead; so that looking goes on while what was found is worked off. */
export async function* lookAhead<T>(source: AsyncGenerator<T, void, undefined>, most: number): AsyncGenerator<T, void, undefined> {
  const found: T[] = [];
  const ended: { error: unknown }[] = [];
  const state = { ended: false, left: false };
  let wake = (): void => {};
  const changed = () => new Promise<void>((resolve) => (wake = resolve));
  const looking = (async () => {
    for await (const item of source) {
      found.push(item);
      wake();
      while (found.length >= most && !state.left) await changed();
      if (state.left) break;
    }
  })()
    .catch((error: unknown) => void ended.push({ error }))
    .finally(() => {
      state.ended = true;
      wake();
    });
  try {
    for (let at = 0; ; ) {
      const item = found[at];
      if (item !== undefined) {
        at++;
        if (at === found.length || at >= FORGET_EVERY) {
          found.splice(0, at);
          at = 0;
          wake();
        }
        yield item;
      } else if (state.ended) break;
      else await changed();
    }
    if (ended[0]) throw ended[0].error;
  } finally {
    state.left = true;
    wake();
    await looking;
  }
}

const FORGET_EVERY = 1_000;
