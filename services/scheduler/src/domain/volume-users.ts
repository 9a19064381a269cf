import type { ListVolumeUsers, OutputOf } from "@banyan/contracts";

type Users = OutputOf<typeof ListVolumeUsers>;
type User = Users["users"][number];

const NAMED_MAX = 100;

const keyOf = ({ sandboxId, path }: User): string => `${sandboxId} ${path}`;

/** What rows tell, and what is under way beside them: of one mount that both tell of, what is under way. */
export function mergeUsers(rows: Users, underWay: Pick<Users, "users" | "forks">): Users {
  const told = new Set(rows.users.map(keyOf));
  const more = new Map(underWay.users.map((user) => [keyOf(user), user]));
  const added = [...more.keys()].filter((key) => !told.has(key)).length;
  const users = [...more.values(), ...rows.users.filter((user) => !more.has(keyOf(user)))];
  return { users: users.slice(0, NAMED_MAX), forks: rows.forks + underWay.forks, total: rows.total + added + underWay.forks };
}
