import { expect, it } from "vitest";
import { capacityOf, fits, usedBy } from "./capacity.ts";

const resources = { cpu: 1, memoryMb: 1_024, pids: 100, diskMb: 2_048 };
const capacity = capacityOf({ cpus: 2, memoryMb: 1_024, diskMb: 4_096, slotsMax: 3 }, { cpu: 2, memory: 2, disk: 1 });

it("promises more than there is by its factors, but no more slots", () => {
  expect(capacity).toEqual({ cpu: 4, memoryMb: 2_048, diskMb: 4_096, sandboxes: 3 });
});

it("counts only the disk of what is stopped", () => {
  expect(
    usedBy([
      { state: "stopped", resources },
      { state: "running", resources },
    ]),
  ).toEqual({ cpu: 1, memoryMb: 1_024, diskMb: 4_096, sandboxes: 1 });
});

it("gives back first what the sandbox itself holds", () => {
  const stopped = { state: "stopped" as const, resources };
  const used = usedBy([stopped, { state: "running", resources }]);
  expect(fits(capacity, used, resources, usedBy([]))).toBe(false);
  expect(fits(capacity, used, resources, usedBy([stopped]))).toBe(true);
});
