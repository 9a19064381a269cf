export type { ConnectOptions, Orm, Sql, Transaction } from "./connection.ts";
export { type Database, type OpenDatabaseOptions, openDatabase } from "./database.ts";
export type { Migration } from "./migrate.ts";
export { isUniqueViolation, translate, translateError } from "./translate.ts";
