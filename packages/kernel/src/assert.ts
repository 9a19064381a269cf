/** Thrown when something holds that only a bug can cause. Never caught on purpose: the process ends and the next one's loop repairs. */
export class AssertionFailed extends Error {
  override readonly name = "AssertionFailed";
}

export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new AssertionFailed(message);
}

/** For the `default` of a switch over a union: does not compile while a case is missing. */
export function unreachable(value: never): never {
  throw new AssertionFailed(`unreachable case: ${JSON.stringify(value)}`);
}
