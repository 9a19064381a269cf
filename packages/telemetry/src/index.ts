export { type CreateLoggerOptions, createLogger, type LogLevel } from "./logger.ts";
