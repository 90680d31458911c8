// The cost of a decision: 1,000 ssl rules and a list of a million names, medians over batches. It judges nothing.

import type { Session } from '../src/core/session.ts';
import { compilePolicy } from '../src/policy/decide.ts';
import { parseHostList } from '../src/policy/host-list.ts';
import type { HostList } from '../src/policy/host-list.ts';
import type { PolicyOptions, PolicyRules, SslRule } from '../src/policy/rules.ts';
import { columns } from './report.ts';
import type { PartReport } from './report.ts';

const rulesCount = 1000;
const full = { namesCount: 1_000_000, batches: 200 } as const;
const smoke = { namesCount: 10_000, batches: 5 } as const;
const batchSize = 500;

/** One measured thing: its name and the median microseconds of one run. */
interface Measured {
  readonly what: string;
  readonly medianMicroseconds: number;
}

/** Measures and answers the table; `isSmoke`: with a shorter list and fewer batches, to show that it works. */
export function benchPolicy(isSmoke: boolean): PartReport {
  const rows = measurePolicy(isSmoke ? smoke : full);
  return { text: `Policy: what a decision costs\n${columns([['', 'µs'], ...rows.map(({ what, medianMicroseconds }) => [what, medianMicroseconds.toFixed(2)])])}`, missed: [] };
}

function measurePolicy({ namesCount, batches }: { readonly namesCount: number; readonly batches: number }): Measured[] {
  const parseStarted = performance.now();
  const { list } = parseHostList(Buffer.from(Array.from({ length: namesCount }, (_, index) => nameOf(index)).join('\n')), namesCount);
  const parseMs = performance.now() - parseStarted;
  const policy = compilePolicy(rules(), options(list));
  const sessions = Array.from({ length: batchSize }, (_, index) => session(index));
  const hosts = sessions.map(({ sni }) => sni ?? '');
  const unlisted = hosts.map((host) => `www.${host}.not-listed.example.net`);
  const listed = hosts.map((_, index) => `www.${nameOf((index * 1999) % namesCount)}`);
  if (!listed.every((name) => list.has(name)) || unlisted.some((name) => list.has(name))) throw new Error('the list does not hold what it should');
  const median = (run: (index: number) => unknown): number => medianOf(run, batches);
  return [
    { what: `load a list of ${namesCount} names (once)`, medianMicroseconds: parseMs * 1000 },
    { what: 'look-up of a listed name', medianMicroseconds: median((index) => list.has(listed[index] ?? '')) },
    { what: 'look-up of a name that is not listed', medianMicroseconds: median((index) => list.has(unlisted[index] ?? '')) },
    { what: `ssl decision, ${rulesCount} rules and the list, nothing matches before the last rule`, medianMicroseconds: median((index) => policy.ssl(sessions[index] ?? session(0))) },
    { what: 'connection decision, 1000 rules of client networks and ports', medianMicroseconds: median((index) => policy.connection(sessions[index] ?? session(0))) },
    { what: 'protocol decision, the reference\'s two rules', medianMicroseconds: median((index) => policy.protocol(sessions[index] ?? session(0), 'sips', 'intercepted')) },
  ];
}

/** The median microseconds of one call, over batches of different inputs. */
function medianOf(run: (index: number) => unknown, batches: number): number {
  const took: number[] = [];
  for (let batch = 0; batch < batches; batch += 1) {
    const started = performance.now();
    for (let index = 0; index < batchSize; index += 1) run(index);
    took.push(((performance.now() - started) * 1000) / batchSize);
  }
  return took.sort((a, b) => a - b)[batches >> 1] ?? Number.NaN;
}

function nameOf(index: number): string {
  return `n${index}.list${index % 100}.example`;
}

/** Rules as large installations have them: names, suffixes, client networks, ports and fingerprints, and the list first. */
function rules(): PolicyRules {
  const ssl = Array.from({ length: rulesCount - 2 }, (_, index): SslRule => {
    const kinds: readonly SslRule['when'][] = [
      { sni: [`host${index}.example`] },
      { sni: [`*.zone${index}.example`, `.area${index}.example`] },
      { client: [`172.${16 + (index % 16)}.${index % 256}.0/24`], sni: [`*.x${index}.example`] },
      { port: [8000 + (index % 1000)], service: ['https'] },
      { ja4: [`t12d${index}*`], not: { client: ['10.0.0.0/8'] } },
    ];
    return { when: kinds[index % kinds.length], then: 'tunnel' };
  });
  const connection = Array.from({ length: rulesCount }, (_, index) => ({ when: { client: [`172.${16 + (index % 16)}.${index % 256}.0/24`, `2001:db8:${index.toString(16)}::/48`], port: [443] }, then: 'deny' as const }));
  const protocol = [
    { when: { tls: ['intercepted' as const], not: { protocol: ['https', 'sips', 'ms-turn'] } }, then: 'deny' as const },
    { when: { tls: ['none' as const], protocol: ['undetected'] }, then: 'deny' as const },
  ];
  return { connection, ssl: [{ when: { file: ['names.txt'] }, then: 'tunnel' }, ...ssl, { then: 'intercept', tunnelOnError: true }], certificate: [], protocol, http: [], sip: [], turn: [] };
}

function options(list: HostList): PolicyOptions {
  return { services: new Map([['https', { type: 'ssl', detectProtocol: true }]]), tunnelOnError: false, lists: new Map([['names.txt', list]]), verdictsMax: 100_000 };
}

function session(index: number): Session {
  return {
    id: 'bench', service: 'https', client: { ip: `10.${index % 256}.${index % 199}.7`, port: 50_000 }, destination: { ip: '203.0.113.9', port: 443, host: null },
    startedAt: 0, endedAt: null, state: 'active', sni: `edge-${index}.service${index % 17}.contoso.com`, alpn: ['h2', 'http/1.1'], ja3: null, ja4: 't13d1516h2_8daaf6152771_02713d6af862',
    user: null, protocol: 'pending', chain: [], action: null, tunnelledOnError: null, rule: null, error: null, errorDetail: null, note: null,
    bytes: { fromClient: 0, toClient: 0, fromUpstream: 0, toUpstream: 0 }, tls: { client: null, upstream: null, leaf: null }, details: {},
  };
}
