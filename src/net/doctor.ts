// What `sallyport doctor` checks, as pure functions from facts to answers: each names what is wrong and the command or setting that
// mends it. doctor-facts.ts gathers the facts; nothing here reads the system or the clock.

import { netDifferences } from './apply.ts';
import type { NetState } from './apply.ts';
import type { Family, NetPlan } from './plan.ts';
import type { ServerFacts } from './server-probe.ts';

export interface Check {
  /** Stable word, in docs and JSON. */
  readonly name: string;
  readonly state: 'ok' | 'warn' | 'fail';
  /** What was found. */
  readonly text: string;
  /** What to do; null when nothing is. */
  readonly mend: string | null;
}

/** What the config wants, as plain data. */
export interface DoctorWants {
  readonly plan: NetPlan;
  /** CA certificate file; made on first run when absent. */
  readonly caFile: string;
  /** Distribution points of emulated certificates; empty when CRLs are off. */
  readonly crlUrls: readonly string[];
  /** Name servers, `ADDRESS` or `ADDRESS:PORT`; empty: the system's. */
  readonly dnsServers: readonly string[];
  /** `HOST` or `HOST:PORT`; null: UDP is not probed. */
  readonly stunServer: string | null;
  readonly sessionsMax: number;
  /** TLS servers to be looked at, `HOST` or `HOST:PORT`. */
  readonly servers?: readonly string[];
}

export interface ReversePath {
  readonly interface: string;
  /** The mode in force: 0 off, 1 strict, 2 loose (the higher of `all` and the interface's own). */
  readonly filter: number;
  /** src_valid_mark in force (set in `all` or for the interface). */
  readonly validMark: boolean;
}

export type CaFacts =
  | { readonly state: 'absent' }
  | { readonly state: 'unreadable'; readonly fault: string }
  | { readonly state: 'read'; readonly isCa: boolean; readonly notBeforeMs: number; readonly notAfterMs: number };

export interface DoctorFacts {
  /** Null: the kernel has no such setting. */
  readonly forwarding: Readonly<Record<Family, boolean | null>>;
  readonly reversePaths: readonly ReversePath[];
  readonly net: NetState;
  /** Effective capabilities of this process (capabilities(7) bit numbers); null when unknown. */
  readonly capabilities: bigint | null;
  readonly ca: CaFacts;
  readonly crl: readonly { readonly url: string; readonly fault: string | null }[];
  /** Why no name server answered, else null. */
  readonly dnsFault: string | null;
  readonly stun: { readonly mapped: string | null; readonly fault: string | null } | null;
  readonly servers?: readonly ServerFacts[];
  readonly nowMs: number;
  /** Whether the system's time service says that the clock is set; null when there is none to ask. */
  readonly clockSynchronised: boolean | null;
  /** Soft and hard limit of open files of this process; null when unknown. */
  readonly openFiles: { readonly soft: number; readonly hard: number } | null;
}

const capNetAdmin = 12n;
const dayMs = 24 * 60 * 60 * 1000;
const caWarnDays = 30;
/** This program did not exist before: an older clock is wrong. */
const earliestMs = Date.UTC(2025, 0, 1);
/** An intercepted session holds two sockets. Beside sessions: listeners, state, admin, dials in flight. */
const filesPerSession = 2;
const filesBeside = 1_000;

/** All checks that the config calls for, in the order in which traffic meets them. */
export function doctorChecks(wants: DoctorWants, facts: DoctorFacts): Check[] {
  return [
    ...wants.plan.problems.map((problem) => fail('config', problem, 'Change the service in the config.')),
    ...checkForwarding(wants, facts), ...checkReversePaths(wants, facts), ...checkRules(wants, facts), ...checkCapability(wants, facts),
    checkClock(facts), checkCa(wants, facts), ...checkCrl(wants, facts), checkDns(facts), ...checkUdp(wants, facts), ...checkServers(facts),
    ...checkOpenFiles(wants, facts),
  ];
}

/** Interception works without forwarding; everything else of the clients does not. */
export function checkForwarding({ plan }: DoctorWants, { forwarding }: DoctorFacts): Check[] {
  const families = ([4, 6] as const).filter((family) => plan.takings.some((taking) => taking.family === family));
  return families.map((family) => {
    const name = family === 4 ? 'ip-forward' : 'ip6-forward';
    const key = family === 4 ? 'net.ipv4.ip_forward' : 'net.ipv6.conf.all.forwarding';
    if (forwarding[family] === true) return ok(name, `IPv${family} is forwarded`);
    if (forwarding[family] === null) return warn(name, `this kernel has no IPv${family}`, `Listen on 0.0.0.0 instead of [::], or enable IPv${family}.`);
    return fail(name, `IPv${family} is not forwarded: what is not intercepted goes nowhere`, `sysctl -w ${key}=1, and the same line in /etc/sysctl.d/sallyport.conf`);
  });
}

/** Measured: src_valid_mark sends the source check through the TPROXY route, which drops every client; strict filtering alone does not. */
export function checkReversePaths({ plan }: DoctorWants, { reversePaths }: DoctorFacts): Check[] {
  const routed = plan.takings.filter(({ acquire, clientSource, family }) => (acquire === 'tproxy' || clientSource) && family === 4);
  if (routed.length === 0) return [];
  // Answers to `source: client` come in wherever the servers are.
  const concerned = reversePaths.filter(({ interface: name }) => name !== 'lo' && routed.some(({ interfaces, clientSource }) => clientSource || interfaces.length === 0 || interfaces.some((pattern) => nameMatches(pattern, name))));
  const marked = concerned.filter(({ validMark }) => validMark).map((path) => path.interface);
  const strict = concerned.filter(({ filter }) => filter === 1).map((path) => path.interface);
  const checks: Check[] = [];
  if (marked.length > 0) checks.push(fail('rp-filter', `src_valid_mark is on for ${marked.join(', ')}: the kernel drops TPROXY clients there`, 'sysctl -w net.ipv4.conf.all.src_valid_mark=0 (wg-quick sets it), and for each interface; or acquire: redirect'));
  if (strict.length > 0) checks.push(warn('rp-filter', `rp_filter is strict on ${strict.join(', ')}: TPROXY clients whose way back leads elsewhere are dropped`, 'sysctl -w net.ipv4.conf.all.rp_filter=2, and for each interface'));
  return checks.length > 0 ? checks : [ok('rp-filter', 'reverse path filtering lets TPROXY clients in')];
}

/** The kernel's rules against the config's. */
export function checkRules({ plan }: DoctorWants, { net }: DoctorFacts): Check[] {
  if (plan.problems.length > 0 || (plan.takings.length === 0 && net.comments === null)) return [];
  const mend = 'sallyport net apply -c FILE';
  if (net.fault !== null) return [warn('nftables', `the rules cannot be read: ${net.fault}`, 'Run doctor as root.')];
  if (plan.takings.length === 0) return [warn('nftables', 'the config has no transparent service, but rules are in force', 'sallyport net remove -c FILE')];
  const differences = netDifferences(net, plan);
  if (differences.length === 0) return [ok('nftables', `the rules are those of the config (${net.comments?.length ?? 0})`)];
  return [fail('nftables', net.comments === null ? 'no rules: clients are not intercepted' : `the rules are not those of the config: ${differences.join('; ')}`, mend)];
}

export function checkCapability({ plan }: DoctorWants, { capabilities }: DoctorFacts): Check[] {
  if (!plan.takings.some(({ acquire, clientSource }) => acquire === 'tproxy' || clientSource)) return [];
  if (capabilities === null) return [warn('capability', 'the capabilities of this process cannot be read', 'Run doctor as the gateway\'s user.')];
  if ((capabilities & (1n << capNetAdmin)) !== 0n) return [ok('capability', 'CAP_NET_ADMIN is there for TPROXY and source: client')];
  return [fail('capability', 'CAP_NET_ADMIN is missing: TPROXY listeners and services with source: client cannot start', 'AmbientCapabilities=CAP_NET_ADMIN in the systemd unit, or run as root')];
}

export function checkClock({ nowMs, ca, clockSynchronised }: DoctorFacts): Check {
  const mend = 'Set the clock and run a time service (systemd-timesyncd, chrony).';
  if (nowMs < earliestMs) return fail('clock', `the clock says ${day(nowMs)}`, mend);
  if (ca.state === 'read' && ca.notBeforeMs > nowMs) return fail('clock', `the clock says ${day(nowMs)}, before the CA became valid on ${day(ca.notBeforeMs)}`, mend);
  return clockSynchronised === false ? warn('clock', 'the time service has not set the clock yet', mend) : ok('clock', `the clock says ${new Date(nowMs).toISOString()}`);
}

export function checkCa({ caFile }: DoctorWants, { ca, nowMs }: DoctorFacts): Check {
  const renew = 'sallyport ca new, or sallyport ca import, then distribute it to the clients';
  switch (ca.state) {
    case 'absent':
      return warn('ca', `there is no CA at ${caFile} yet`, 'sallyport run makes one; then distribute it to the clients (sallyport ca export)');
    case 'unreadable':
      return fail('ca', `the CA at ${caFile} cannot be read: ${ca.fault}`, 'Check the file and its owner, or sallyport ca import.');
    case 'read':
      if (!ca.isCa) return fail('ca', `the certificate at ${caFile} is no CA certificate`, renew);
      if (ca.notAfterMs <= nowMs) return fail('ca', `the CA has expired on ${day(ca.notAfterMs)}`, renew);
      if (ca.notAfterMs - nowMs < caWarnDays * dayMs) return warn('ca', `the CA expires on ${day(ca.notAfterMs)}`, renew);
      return ok('ca', `the CA is valid until ${day(ca.notAfterMs)}`);
  }
}

/** Clients that check revocation stall or refuse when they cannot fetch it (FACTS-certs 2.3). */
export function checkCrl({ crlUrls, plan }: DoctorWants, { crl }: DoctorFacts): Check[] {
  const taken = new Set(plan.takings.flatMap(({ ports }) => ports));
  if (crlUrls.length === 0) return [warn('crl', 'emulated certificates name no CRL: clients such as Skype for Business refuse them', 'issuer.crl.enabled: true')];
  return crl.map(({ url, fault }) => (fault === null
    ? ok('crl', `${url} answers with a CRL`)
    : taken.has(Number(new URL(url).port || '80'))
    ? warn('crl', `${url}: ${fault}, asked from the gateway itself`, 'Clients get it where their requests pass the gateway, whatever the name leads to: fetch it from a client.')
    : fail('crl', `${url}: ${fault}`, 'Start the gateway; check issuer.crl.listen, and that issuer.crl.host leads clients to it.')));
}

export function checkDns({ dnsFault }: DoctorFacts): Check {
  return dnsFault === null ? ok('dns', 'a name server answers') : fail('dns', `no name server answers: ${dnsFault}`, 'Check upstream.dns or /etc/resolv.conf, and the firewall for port 53.');
}

/** Media of calls wants UDP; without it clients fall back to TURN over TCP. */
export function checkUdp({ stunServer }: DoctorWants, { stun }: DoctorFacts): Check[] {
  if (stunServer === null || stun === null) return [];
  if (stun.mapped !== null) return [ok('udp', `UDP reaches ${stunServer}, which sees ${stun.mapped}`)];
  return [warn('udp', `UDP does not reach ${stunServer}: ${stun.fault ?? 'no answer'}`, 'Let UDP 3478 and the media ports out, or expect calls over TCP.')];
}

/** Such a certificate is most often that of another interceptor on the way: what it shows is what clients get wherever a flow is tunnelled. */
export function checkServers({ servers = [] }: DoctorFacts): Check[] {
  return servers.map(({ server, fault, issuer, namesCrl, namesOcsp }) => {
    if (fault !== null) return fail('server', `${server}: ${fault}`, 'Check the name, the port, and that the server speaks TLS.');
    if (namesCrl || namesOcsp) return ok('server', `${server} shows a certificate by ${issuer} that names ${[...(namesCrl ? ['a CRL'] : []), ...(namesOcsp ? ['OCSP'] : [])].join(' and ')}`);
    return warn('server', `${server} shows a certificate by ${issuer} that names neither a CRL distribution point nor OCSP: clients that insist on revocation refuse it where it is tunnelled, and \`upstream.revocation: hard\` denies it`,
      'If that is another interceptor, give its CA a CRL distribution point; to tunnel such servers: revocation: hard, and a certificate rule { when: { problem: revocation-unknown }, then: tunnel }.');
  });
}

export function checkOpenFiles({ sessionsMax }: DoctorWants, { openFiles }: DoctorFacts): Check[] {
  if (openFiles === null) return [];
  const needed = sessionsMax * filesPerSession + filesBeside;
  // Node raises the soft limit to the hard one by itself when it starts.
  if (openFiles.hard >= needed) return [ok('open-files', `${openFiles.hard} files may be open, ${needed} are needed`)];
  return [warn('open-files', `${openFiles.hard} files may be open, but limits.sessionsMax ${sessionsMax} needs ${needed}`, `LimitNOFILE=${needed} in the systemd unit (ulimit -n), or lower limits.sessionsMax`)];
}

function nameMatches(pattern: string, name: string): boolean {
  return pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern;
}

function day(timeMs: number): string {
  return new Date(timeMs).toISOString().slice(0, 10);
}

function ok(name: string, text: string): Check {
  return { name, state: 'ok', text, mend: null };
}

function warn(name: string, text: string, mend: string): Check {
  return { name, state: 'warn', text, mend };
}

function fail(name: string, text: string, mend: string): Check {
  return { name, state: 'fail', text, mend };
}
