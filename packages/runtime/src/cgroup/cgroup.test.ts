import { expect, it } from "vitest";
import { limitWrites } from "./cgroup.ts";

const limits = { cpu: 0.5, memoryMb: 64, pids: 32 };

it("writes three files on cgroup v2", () => {
  const paths = { version: 2, cpu: "/c", memory: "/c", pids: "/c", countsSwap: false } as const;
  expect(limitWrites(paths, limits)).toEqual([
    { file: "/c/cpu.max", value: "50000 100000" },
    { file: "/c/memory.max", value: "67108864" },
    { file: "/c/pids.max", value: "32" },
  ]);
});

it("lifts swap first and sets it last on cgroup v1, so that any change of memory is legal", () => {
  const paths = { version: 1, cpu: "/cpu", memory: "/memory", pids: "/pids", countsSwap: true } as const;
  const memory = limitWrites(paths, limits).filter(({ file }) => file.startsWith("/memory"));
  expect(memory.map(({ file, value }) => [file.split("/").at(-1), value])).toEqual([
    ["memory.memsw.limit_in_bytes", "-1"],
    ["memory.limit_in_bytes", "67108864"],
    ["memory.memsw.limit_in_bytes", "67108864"],
  ]);
});

it("leaves swap alone where the kernel does not count it", () => {
  const paths = { version: 1, cpu: "/cpu", memory: "/memory", pids: "/pids", countsSwap: false } as const;
  expect(limitWrites(paths, limits).filter(({ file }) => file.includes("memsw"))).toEqual([]);
});
