/**
 * The KV bucket in which a gateway says that a key or an organisation (its id is the entry's key) has changed, so that the others
 * drop what they remember of it. A notice is kept far longer than any gateway's memory of a key lasts.
 */
export const ACCESS_BUCKET = "access";
export const ACCESS_NOTICE_TTL_MS = 60_000;
