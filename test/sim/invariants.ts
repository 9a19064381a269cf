/** A promise that was broken, as opposed to a fault of the simulation. */
export class Violation extends Error {
  override name = "Violation";
}

export function check(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Violation(message);
}
