import type { Clock } from "@banyan/kernel";
import { preferredWaitS } from "../domain/prefer.ts";
import { WAIT_S_MAX } from "../http/build-image.ts";
import type { Call } from "../http/route.ts";
import { isCopied } from "../views/volume.ts";

const LOOK_FIRST_MS = 25;
const LOOK_EVERY_MS_MAX = 1_000;

/** What is being copied, looked at until that has ended: as long as the caller prefers to wait, rarer with time, and not for one that is gone. */
export async function settled<T extends { state: string }>(
  { clock }: { clock: Clock },
  { header, gone }: Pick<Call<unknown, unknown>, "header" | "gone">,
  made: T,
  look: () => Promise<T>,
): Promise<T> {
  const waitMs = (preferredWaitS(header("prefer"), WAIT_S_MAX) ?? 0) * 1_000;
  if (waitMs === 0 || !isCopied(made)) return made;
  const endsAt = clock.monotonicMs() + waitMs;
  const left = gone();
  let seen = made;
  for (let everyMs = LOOK_FIRST_MS; isCopied(seen) && !left.aborted; everyMs = Math.min(2 * everyMs, LOOK_EVERY_MS_MAX)) {
    const leftMs = endsAt - clock.monotonicMs();
    if (leftMs <= 0) break;
    await clock.sleep(Math.min(everyMs, leftMs));
    seen = await look();
  }
  return seen;
}
