/** Of a row whose files are to be made: nobody has begun, and anybody may. */
export function newWork(now: Date) {
  return {
    stateReason: null,
    progress: null,
    holder: null,
    leaseUntil: null,
    attempts: 0,
    failures: 0,
    dueAt: now,
    closing: null,
    closingAt: null,
    usageBytes: null,
    usageFiles: null,
    measuredAt: null,
    version: 1,
    createdAt: now,
    updatedAt: now,
  };
}
