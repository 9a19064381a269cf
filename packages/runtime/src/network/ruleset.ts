/**
 * What no sandbox may reach: this host, other machines of the operator's networks, the metadata address, other sandboxes.
 * IPv6 is off inside, and dropped besides.
 */
const CLOSED_RANGES = [
  "0.0.0.0/8",
  "10.0.0.0/8",
  "100.64.0.0/10",
  "127.0.0.0/8",
  "169.254.0.0/16",
  "172.16.0.0/12",
  "192.0.0.0/24",
  "192.168.0.0/16",
  "198.18.0.0/15",
  "224.0.0.0/3",
] as const;

export interface RulesetState {
  table: string;
  bridge: string;
  subnet: string;
  resolvers: readonly string[];
  /** Sandboxes that may reach only these ranges: address -> ranges. An empty list: nothing. */
  allow: ReadonlyMap<string, readonly string[]>;
}

/**
 * The whole table as one transaction: it replaces what is there, without a moment in between. TCP is refused by a reset, for a connecting
 * socket takes an ICMP error only after a second; so an agent sees at once what is closed to it.
 */
export function renderRuleset(state: RulesetState): string {
  const listed = [...state.allow.keys()];
  const pairs = [...state.allow].flatMap(([address, ranges]) => ranges.map((range) => `${address} . ${range}`));
  return `table inet ${state.table} {}
delete table inet ${state.table}
table inet ${state.table} {
  set closed { type ipv4_addr; flags interval; auto-merge; ${elements([...CLOSED_RANGES, state.subnet])} }
  set resolvers { type ipv4_addr; ${elements(state.resolvers)} }
  set listed { type ipv4_addr; ${elements(listed)} }
  set allow { type ipv4_addr . ipv4_addr; flags interval; ${elements(pairs)} }

  chain egress {
    ip saddr != ${state.subnet} drop
    meta nfproto != ipv4 drop
    ip saddr @listed ip saddr . ip daddr != @allow jump refuse
    ip daddr @resolvers meta l4proto { tcp, udp } th dport 53 accept
    ip daddr @closed jump refuse
    accept
  }
  chain refuse {
    meta l4proto tcp reject with tcp reset
    reject with icmpx admin-prohibited
  }
  chain forward {
    type filter hook forward priority filter - 10; policy accept;
    iifname "${state.bridge}" jump egress
    oifname "${state.bridge}" ct state established,related accept
    oifname "${state.bridge}" drop
  }
  chain input {
    type filter hook input priority filter - 10; policy accept;
    iifname "${state.bridge}" jump refuse
  }
  chain output {
    type filter hook output priority filter - 10; policy accept;
    oifname "${state.bridge}" ct state established,related accept
    oifname "${state.bridge}" icmp type destination-unreachable accept
    oifname "${state.bridge}" drop
  }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr ${state.subnet} oifname != "${state.bridge}" masquerade
  }
}
`;
}

/** Puts one sandbox's list in force, whatever was there for its address. */
export function renderAllow(table: string, address: string, ranges: readonly string[]): string {
  const lines = [`add element inet ${table} listed { ${address} }`];
  if (ranges.length > 0) lines.push(`add element inet ${table} allow { ${ranges.map((range) => `${address} . ${range}`).join(", ")} }`);
  return `${lines.join("\n")}\n`;
}

export function renderDisallow(table: string, address: string, ranges: readonly string[]): string {
  const lines = [`delete element inet ${table} listed { ${address} }`];
  if (ranges.length > 0) lines.push(`delete element inet ${table} allow { ${ranges.map((range) => `${address} . ${range}`).join(", ")} }`);
  return `${lines.join("\n")}\n`;
}

function elements(values: readonly string[]): string {
  return values.length === 0 ? "" : `elements = { ${values.join(", ")} };`;
}
