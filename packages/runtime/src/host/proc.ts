export { isAlive, type ProcessRef, processStartTime } from "@banyan/kernel";
