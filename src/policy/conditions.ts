// Compiles a rule's `when` into tests, each one condition. A test reads facts and answers; it never throws, awaits or allocates.
// Each condition also knows how to say what it found, for `explain`.

import { NetworkSet, parseNetwork } from '../core/addresses.ts';
import type { Address, Network } from '../core/addresses.ts';
import { protocolWords } from '../core/protocols.ts';
import type { Facts } from './facts.ts';
import type { HostList } from './host-list.ts';
import type { ConditionKey, Conditions, When } from './rules.ts';
import { compileTexts } from './text.ts';
import type { TextKind } from './text.ts';
import { compileTimes } from './time.ts';

/** One compiled condition. */
export interface Condition {
  /** The key as written; `not` for a negated group. */
  readonly key: string;
  /** What was asked for, for people. */
  readonly wanted: string;
  test(facts: Facts): boolean;
  /** What the facts have, for people; null when the fact is absent. */
  found(facts: Facts): string | null;
}

export interface CompileOptions {
  readonly lists: ReadonlyMap<string, HostList>;
  /** An accepting certificate rule: every problem found must be listed, not just one. */
  readonly everyProblem: boolean;
}

/** A rule's conditions in the order written; an empty list matches everything. */
export function compileWhen(when: When | undefined, options: CompileOptions): Condition[] {
  if (when === undefined) return [];
  const { not, ...plain } = when;
  const conditions = compileConditions(plain, options);
  return not === undefined ? conditions : [...conditions, negated(compileConditions(not, { ...options, everyProblem: false }))];
}

/** The tests of conditions, cheapest first: a rule fails at its first false one. */
export function testsOf(conditions: readonly Condition[]): ((facts: Facts) => boolean)[] {
  const ranked = [...conditions].sort((a, b) => cost(a.key) - cost(b.key));
  return ranked.map((condition) => condition.test);
}

const cheap: readonly string[] = ['port', 'tls', 'protocol', 'service', 'problem'];
const dear: readonly string[] = ['file', 'path', 'not'];

function cost(key: string): number {
  return cheap.includes(key) ? 0 : dear.includes(key) ? 2 : 1;
}

function compileConditions(when: Conditions, options: CompileOptions): Condition[] {
  return Object.keys(when).filter(isConditionKey).flatMap((key) => compileOne(key, when, options) ?? []);
}

function isConditionKey(key: string): key is ConditionKey {
  return Object.hasOwn(compilers, key);
}

function compileOne(key: ConditionKey, when: Conditions, options: CompileOptions): Condition | null {
  const values: readonly (string | number)[] | undefined = when[key];
  if (values === undefined) return null;
  return { key, wanted: listed(values), ...compilers[key](values.map(String), options) };
}

/** A list for people, cut where nobody reads on. */
function listed(values: readonly (string | number)[]): string {
  const shown = values.slice(0, valuesShownMax).join(', ');
  return values.length > valuesShownMax ? `${shown} and ${values.length - valuesShownMax} more` : shown;
}

const valuesShownMax = 6;

type Compiled = Pick<Condition, 'test' | 'found'>;
type Compiler = (values: readonly string[], options: CompileOptions) => Compiled;

/** A condition on one text; absent texts match nothing. */
function text(kind: TextKind, read: (facts: Facts) => string | null): Compiler {
  const fold = (value: string): string => (kind === 'folded' ? value.toLowerCase() : value);
  return (values) => {
    const matches = compileTexts(values, kind);
    return {
      test: (facts) => {
        const value = read(facts);
        return value !== null && matches(fold(value));
      },
      found: read,
    };
  };
}

/** A condition on a set of texts, one of which must match. */
function anyText(read: (facts: Facts) => Iterable<string>): Compiler {
  return (values) => {
    const matches = compileTexts(values, 'folded');
    return {
      test: (facts) => {
        for (const value of read(facts)) if (matches(value.toLowerCase())) return true;
        return false;
      },
      found: (facts) => [...read(facts)].join(', ') || null,
    };
  };
}

function networks(read: (facts: Facts) => Address, show: (facts: Facts) => string | null): Compiler {
  return (values) => {
    const set = new NetworkSet(values.flatMap((value): Network[] => asList(parseNetwork(value))));
    return { test: (facts) => set.has(read(facts)), found: show };
  };
}

function asList<T>(value: T | undefined): T[] {
  return value === undefined ? [] : [value];
}

const service: Compiler = (values) => {
  const names = new Set(values);
  return { test: (facts) => names.has(facts.session.service), found: (facts) => facts.session.service };
};

const port: Compiler = (values) => {
  const ranges = Uint16Array.from(values.flatMap((value) => {
    const [low = '', high = low] = value.split('-');
    return [Number(low), Number(high)];
  }));
  return {
    test: ({ session }) => {
      for (let at = 0; at < ranges.length; at += 2) if (session.destination.port >= (ranges[at] ?? 0) && session.destination.port <= (ranges[at + 1] ?? 0)) return true;
      return false;
    },
    found: (facts) => String(facts.session.destination.port),
  };
};

/** Networks, and patterns of the host asked for. */
const destination: Compiler = (values) => {
  const addresses = new NetworkSet(values.flatMap((value) => asList(parseNetwork(value))));
  const hosts = compileTexts(values.filter((value) => parseNetwork(value) === undefined), 'host');
  return {
    test: (facts) => {
      if (addresses.has(facts.destination)) return true;
      const host = facts.destinationHost;
      return host !== null && hosts(host);
    },
    found: ({ session }) => [session.destination.host, session.destination.ip].filter((part) => part !== null).join(' ') || null,
  };
};

const file: Compiler = (values, { lists }) => {
  const used = values.map((value) => {
    const list = lists.get(value);
    if (list === undefined) throw new Error(`list ${value} was not loaded`);
    return list;
  });
  return {
    test: (facts) => {
      const name = facts.requestHost ?? facts.name;
      if (name !== null) for (const list of used) if (list.has(name)) return true;
      return false;
    },
    found: (facts) => facts.requestHost ?? facts.name,
  };
};

const problem: Compiler = (values, { everyProblem }) => {
  const wanted = new Set(values);
  return {
    test: (facts) => {
      for (const one of facts.problems) if (wanted.has(one) !== everyProblem) return !everyProblem;
      return everyProblem;
    },
    found: (facts) => facts.problems.join(', ') || null,
  };
};

const protocol: Compiler = (values) => {
  const names = new Set<string>(values.flatMap((word) => protocolWords.get(word) ?? []));
  return { test: (facts) => names.has(facts.protocol), found: (facts) => facts.protocol };
};

const tls: Compiler = (values) => {
  const states = new Set(values);
  return { test: (facts) => states.has(facts.tls), found: (facts) => facts.tls };
};

const address: Compiler = (values) => {
  const matches = new Set<string | null>(values);
  return { test: (facts) => matches.has(facts.address), found: (facts) => facts.address };
};

const time: Compiler = (values) => {
  const open = compileTimes(values);
  return { test: (facts) => open(facts.minute), found: (facts) => new Date(facts.session.startedAt).toString().slice(0, 21) };
};

const compilers: Record<ConditionKey, Compiler> = {
  client: networks((facts) => facts.client, (facts) => facts.session.client.ip),
  destination,
  port,
  service,
  user: text('folded', (facts) => facts.session.user),
  time,
  sni: text('host', (facts) => facts.sni),
  alpn: anyText((facts) => facts.session.alpn),
  ja4: text('folded', (facts) => facts.session.ja4),
  address,
  file,
  problem,
  name: text('host', (facts) => facts.name),
  protocol,
  tls,
  method: text('folded', (facts) => facts.http?.method ?? facts.sip?.method ?? null),
  host: text('host', (facts) => facts.requestHost),
  path: text('exact', (facts) => (facts.http === null ? null : facts.path)),
  header: anyText((facts) => facts.http?.headers ?? []),
  upgrade: text('folded', (facts) => facts.http?.upgrade ?? null),
  from: text('folded', (facts) => facts.sip?.from ?? null),
  to: text('folded', (facts) => facts.sip?.to ?? null),
  agent: text('folded', (facts) => facts.sip?.agent ?? null),
  message: text('folded', (facts) => facts.turn?.message ?? null),
  peer: networks((facts) => facts.peer, (facts) => facts.turn?.peer ?? null),
};

/** Holds unless all of the group hold. */
function negated(group: readonly Condition[]): Condition {
  const tests = testsOf(group);
  return {
    key: 'not',
    wanted: group.map((condition) => `${condition.key} ${condition.wanted}`).join(' and '),
    test: (facts) => {
      for (const test of tests) if (!test(facts)) return true;
      return false;
    },
    found: (facts) => group.map((condition) => `${condition.key} ${condition.found(facts) ?? 'unknown'}`).join(' and '),
  };
}
