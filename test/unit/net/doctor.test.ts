import { describe, expect, test } from 'vitest';
import { doctorChecks } from '../../../src/net/doctor.ts';
import type { Check, DoctorFacts, DoctorWants } from '../../../src/net/doctor.ts';
import { renderTable } from '../../../src/net/nftables.ts';
import { netPlan } from '../../../src/net/plan.ts';
import type { NetService } from '../../../src/net/plan.ts';

const day = 24 * 60 * 60 * 1000;
const nowMs = Date.UTC(2026, 5, 1);
const https = (changes: Partial<NetService> = {}): NetService => ({ name: 'https', type: 'ssl', listen: { host: '::', port: 8443 }, acquire: 'tproxy', intercept: null, ...changes });
const plan = netPlan([https()]);

const wants: DoctorWants = { plan, caFile: '/state/ca.pem', crlUrls: ['http://gateway:9080/ssl/crl/1.crl'], dnsServers: [], stunServer: 'stun.example:3478', sessionsMax: 20_000 };
const facts: DoctorFacts = {
  forwarding: { 4: true, 6: true },
  reversePaths: [{ interface: 'lo', filter: 1, validMark: false }, { interface: 'eth1', filter: 2, validMark: false }],
  net: { comments: renderTable(plan).comments, routing: { 4: { rules: 1, route: true }, 6: { rules: 1, route: true } }, fault: null },
  capabilities: 1n << 12n,
  ca: { state: 'read', isCa: true, notBeforeMs: nowMs - 100 * day, notAfterMs: nowMs + 1000 * day },
  crl: [{ url: 'http://gateway:9080/ssl/crl/1.crl', fault: null }],
  dnsFault: null,
  stun: { mapped: '192.0.2.1:1', fault: null },
  nowMs,
  clockSynchronised: true,
  openFiles: { soft: 1024, hard: 1_048_576 },
};

function checks(changedWants: Partial<DoctorWants> = {}, changedFacts: Partial<DoctorFacts> = {}): Check[] {
  return doctorChecks({ ...wants, ...changedWants }, { ...facts, ...changedFacts });
}

test('a good gateway is all right, check by check', () => {
  expect(checks().map(({ name, state }) => `${name} ${state}`)).toEqual([
    'ip-forward ok', 'ip6-forward ok', 'rp-filter ok', 'nftables ok', 'capability ok', 'clock ok', 'ca ok', 'crl ok', 'dns ok', 'udp ok', 'open-files ok',
  ]);
});

test('a CRL on a port that the gateway takes is for clients to fetch', () => {
  const url = 'http://crl.example:443/ssl/crl/issuer_CA.crl';
  expect(checks({ crlUrls: [url] }, { crl: [{ url, fault: 'ENOTFOUND' }] }).find(({ name }) => name === 'crl')).toMatchObject({ state: 'warn', mend: expect.stringMatching(/from a client/) as unknown });
});

test('servers that were asked for are judged by what their certificates name', () => {
  const shown = { server: 'a:443', fault: null, issuer: 'CN=Some CA', namesCrl: false, namesOcsp: false };
  const judged = checks({}, { servers: [{ ...shown, namesCrl: true }, { ...shown, namesOcsp: true }, shown, { ...shown, fault: 'ECONNREFUSED' }] }).filter(({ name }) => name === 'server');
  expect(judged.map(({ state }) => state)).toEqual(['ok', 'ok', 'warn', 'fail']);
  expect(judged[2]?.text).toMatch(/a:443 .*CN=Some CA.*neither/);
  expect(judged[2]?.mend).toMatch(/problem: revocation-unknown }, then: tunnel/);
});

describe('each wrong state is found by name, with its mend', () => {
  test.each<[string, string, 'warn' | 'fail', Partial<DoctorWants>, Partial<DoctorFacts>, RegExp]>([
    ['no IPv4 forwarding', 'ip-forward', 'fail', {}, { forwarding: { 4: false, 6: true } }, /net\.ipv4\.ip_forward=1/],
    ['no IPv6 forwarding', 'ip6-forward', 'fail', {}, { forwarding: { 4: true, 6: false } }, /net\.ipv6\.conf\.all\.forwarding=1/],
    ['no IPv6 at all', 'ip6-forward', 'warn', {}, { forwarding: { 4: true, 6: null } }, /0\.0\.0\.0/],
    ['strict rp_filter', 'rp-filter', 'warn', {}, { reversePaths: [{ interface: 'eth1', filter: 1, validMark: false }] }, /rp_filter=2/],
    ['src_valid_mark', 'rp-filter', 'fail', {}, { reversePaths: [{ interface: 'eth1', filter: 0, validMark: true }] }, /src_valid_mark=0/],
    ['no table', 'nftables', 'fail', {}, { net: { ...facts.net, comments: null } }, /net apply/],
    ['a missing rule', 'nftables', 'fail', {}, { net: { ...facts.net, comments: facts.net.comments?.slice(1) ?? [] } }, /net apply/],
    ['no TPROXY routing', 'nftables', 'fail', {}, { net: { ...facts.net, routing: { ...facts.net.routing, 4: { rules: 0, route: false } } } }, /net apply/],
    ['rules that cannot be read', 'nftables', 'warn', {}, { net: { ...facts.net, fault: 'nft: needs root (CAP_NET_ADMIN)' } }, /root/],
    ['no capability', 'capability', 'fail', {}, { capabilities: ~(1n << 12n) }, /CAP_NET_ADMIN/],
    ['capabilities unknown', 'capability', 'warn', {}, { capabilities: null }, /user/],
    ['a clock in the past', 'clock', 'fail', {}, { nowMs: Date.UTC(1970, 0, 2) }, /time service/],
    ['a clock before the CA', 'clock', 'fail', {}, { nowMs: nowMs - 200 * day }, /time service/],
    ['a clock not set yet', 'clock', 'warn', {}, { clockSynchronised: false }, /time service/],
    ['no CA', 'ca', 'warn', {}, { ca: { state: 'absent' } }, /sallyport run/],
    ['a CA that cannot be read', 'ca', 'fail', {}, { ca: { state: 'unreadable', fault: 'EACCES' } }, /owner/],
    ['a leaf for a CA', 'ca', 'fail', {}, { ca: { state: 'read', isCa: false, notBeforeMs: 0, notAfterMs: nowMs + 1000 * day } }, /ca new/],
    ['an expired CA', 'ca', 'fail', {}, { ca: { state: 'read', isCa: true, notBeforeMs: 0, notAfterMs: nowMs } }, /ca new/],
    ['a CA near its end', 'ca', 'warn', {}, { ca: { state: 'read', isCa: true, notBeforeMs: 0, notAfterMs: nowMs + 29 * day } }, /ca new/],
    ['an unreachable CRL', 'crl', 'fail', {}, { crl: [{ url: 'http://gateway:9080/x.crl', fault: 'ECONNREFUSED' }] }, /issuer\.crl\.host/],
    ['no CRL at all', 'crl', 'warn', { crlUrls: [] }, { crl: [] }, /crl\.enabled/],
    ['no DNS', 'dns', 'fail', {}, { dnsFault: 'no answer in time' }, /upstream\.dns/],
    ['no UDP', 'udp', 'warn', {}, { stun: { mapped: null, fault: 'timeout' } }, /3478/],
    ['too few open files', 'open-files', 'warn', {}, { openFiles: { soft: 1024, hard: 4096 } }, /LimitNOFILE=41000/],
  ])('%s: %s %s', (_what, name, state, changedWants, changedFacts, mend) => {
    const found = checks(changedWants, changedFacts).filter((check) => check.name === name);
    expect(found).toHaveLength(1);
    expect(found[0]).toMatchObject({ state, mend: expect.stringMatching(mend) });
    // Nothing else turns red with it.
    expect(checks(changedWants, changedFacts).filter((check) => check.state !== 'ok' && check.name !== name)).toEqual([]);
  });
});

test('a plan with problems says so instead of comparing rules', () => {
  const broken = netPlan([https({ acquire: 'redirect', listen: { host: '127.0.0.1', port: 1 } })]);
  const found = checks({ plan: broken });
  expect(found[0]).toMatchObject({ name: 'config', state: 'fail' });
  expect(found.some(({ name }) => name === 'nftables')).toBe(false);
});

test('what the config does not use is not checked', () => {
  const explicit = checks({ plan: netPlan([]), stunServer: null }, { net: { ...facts.net, comments: null, fault: 'nft is not installed' }, capabilities: 0n, stun: null, openFiles: null, forwarding: { 4: false, 6: false } });
  expect(explicit.map(({ name }) => name)).toEqual(['clock', 'ca', 'crl', 'dns']);
  const redirect = netPlan([https({ acquire: 'redirect', listen: { host: '0.0.0.0', port: 1 } })]);
  expect(checks({ plan: redirect }, { net: { ...facts.net, comments: renderTable(redirect).comments, routing: { 4: { rules: 0, route: false }, 6: { rules: 0, route: false } } } }).map(({ name, state }) => `${name} ${state}`).slice(0, 3)).toEqual(['ip-forward ok', 'nftables ok', 'clock ok']);
});

test('rules without a transparent service are left over', () => {
  expect(checks({ plan: netPlan([]) }).find(({ name }) => name === 'nftables')).toMatchObject({ state: 'warn', mend: expect.stringContaining('net remove') });
});

test('only interfaces where TPROXY clients arrive matter', () => {
  const scoped = netPlan([https({ intercept: { interfaces: ['lan*'] } })]);
  const paths = (name: string) => [{ interface: name, filter: 1, validMark: true }];
  const net = { ...facts.net, comments: renderTable(scoped).comments };
  expect(checks({ plan: scoped }, { net, reversePaths: paths('wan') }).find(({ name }) => name === 'rp-filter')?.state).toBe('ok');
  expect(checks({ plan: scoped }, { net, reversePaths: paths('lan0') }).filter(({ name }) => name === 'rp-filter').map(({ state }) => state)).toEqual(['fail', 'warn']);
});
