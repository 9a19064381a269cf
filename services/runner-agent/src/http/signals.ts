import { constants } from "node:os";
import { fault } from "@banyan/contracts";

const RT_MIN = 34;
const RT_MAX = 64;
const BY_NUMBER = new Map(Object.entries(constants.signals).map(([name, number]) => [number, name]));
const REALTIME = /^SIGRT(MIN|MAX)(?:([+-])(\d{1,2}))?$/;

export function signalName(number: number): string {
  return BY_NUMBER.get(number) ?? (number >= RT_MIN && number <= RT_MAX ? `SIGRTMIN+${number - RT_MIN}` : `SIG${number}`);
}

export function signalNumber(signal: string | number): number {
  if (typeof signal === "number") return signal;
  const known = Object.entries(constants.signals).find(([name]) => name === signal)?.[1];
  if (known !== undefined) return known;
  const match = REALTIME.exec(signal);
  const base = match?.[1] === "MIN" ? RT_MIN : RT_MAX;
  const number = base + Number(match?.[3] ?? 0) * (match?.[2] === "-" ? -1 : 1);
  if (!match || number < RT_MIN || number > RT_MAX)
    throw fault("request.invalid", { issues: [{ path: "signal", message: "there is no such signal" }] });
  return number;
}
