/** Requests of one verb under way at once: starts that wait for a slot count. */
export const CONCURRENCY_MAX = 1_024;
