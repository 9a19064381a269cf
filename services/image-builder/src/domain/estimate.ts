export interface StepTimes {
  byKey: ReadonlyMap<string, number>;
  /** What steps of a sort usually take. */
  bySort: ReadonlyMap<string, number>;
}

/** `apt`, `pip`, `run`, …: the first word of a step's title. */
export const sortOf = (title: string): string => title.split(" ", 1)[0] ?? "";

/** What these steps will take, from what they or their like took before. Null where nothing is known of one of them. */
export function estimateMs(steps: readonly { key: string; sort: string }[], { byKey, bySort }: StepTimes): number | null {
  const times = steps.map(({ key, sort }) => byKey.get(key) ?? bySort.get(sort) ?? null);
  return times.every((time) => time !== null) ? times.reduce((sum, time) => sum + time, 0) : null;
}
