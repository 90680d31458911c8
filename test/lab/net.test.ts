// The rendered rules in a real kernel: REDIRECT and TPROXY, IPv4 and IPv6, scopes and exceptions, QUIC refused, nothing of the
// gateway's own taken, applied twice, removed without a trace.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { applyNet, netDifferences, readNet, removeNet } from '../../src/net/apply.ts';
import type { RunTool } from '../../src/net/apply.ts';
import { netPlan } from '../../src/net/plan.ts';
import type { Intercept, NetPlan } from '../../src/net/plan.ts';
import { isRoot } from '../support/apt.ts';
import { runProgram } from '../support/program.ts';
import type { Host } from './support/host.ts';
import { makeLab } from './support/lab.ts';
import type { Lab } from './support/lab.ts';
import { address, network } from './support/names.ts';
import { startStun } from './support/peers/coturn.ts';

const listenerFile = new URL('support/destination-listener.ts', import.meta.url).pathname;
const doctorFile = new URL('support/doctor-here.ts', import.meta.url).pathname;
const [clientIp, otherClientIp] = network.clients;
const { v4, v6 } = address('https');
const excepted = address('sip');
/** What a client hears when nobody intercepts. */
const fromServer = 'server';

let lab: Lab;
let run: RunTool;

if (!isRoot) console.log('lab: net: skipped, network namespaces need root');
const labDescribe = describe.runIf(isRoot);
const labTest = test.runIf(isRoot);

beforeAll(async () => {
  if (!isRoot) return;
  lab = await makeLab();
  const inGateway = (command: readonly string[], input?: string) => runProgram(['ip', 'netns', 'exec', lab.gateway.namespace, ...command], input === undefined ? {} : { input });
  run = async (program, args, input) => inGateway([program, ...args], input);
  const answer = `require('node:net').createServer((socket) => socket.on('error', () => {}).end('${fromServer}')).listen({ port: Number(process.argv[1]), host: '::' })`;
  for (const port of ['443', '80', '5061']) await lab.server.spawn(`server-${port}`, [process.execPath, '-e', answer, port], { listens: [`*:${port}`] });
  const echo = `const { createSocket } = require('node:dgram'); for (const ip of ['${v4}', '${v6}']) for (const port of [443, 4433]) {
    const socket = createSocket(ip === '${v4}' ? 'udp4' : 'udp6', (_, from) => socket.send('${fromServer}', from.port, from.address)); socket.bind(port, ip, () => console.log('bound')); }`;
  await lab.server.spawn('server-udp', [process.execPath, '-e', echo], { says: /(?:bound\s+){4}/ });
  for (const [acquire, host, port] of [['redirect', '::', '8443'], ['redirect', '0.0.0.0', '8080'], ['tproxy', '::', '8061'], ['tproxy', '127.0.0.1', '8062']] as const) {
    await lab.gateway.spawn(`${acquire}-${port}`, [process.execPath, listenerFile, acquire, host, port], { says: /ready/ });
  }
});

afterAll(async () => {
  await lab?.close();
});

/** What a host hears when it connects. */
async function hears(host: Host, ip: string, port: number, from = '', waitMs = 5000): Promise<string> {
  const script = `const socket = require('node:net').connect({ host: process.argv[1], port: Number(process.argv[2]), ...(process.argv[3] ? { localAddress: process.argv[3] } : {}) });
    socket.setTimeout(${waitMs}, () => socket.destroy(new Error('timeout'))); socket.on('error', (error) => console.log(error.message)); socket.on('data', (data) => process.stdout.write(data));`;
  return (await host.mustRun([process.execPath, '-e', script, ip, String(port), from])).trim();
}

/** What a host hears when it sends a datagram, or the error. */
async function hearsUdp(host: Host, ip: string, port: number): Promise<string> {
  const script = `const socket = require('node:dgram').createSocket(process.argv[1].includes(':') ? 'udp6' : 'udp4');
    const say = (text) => { console.log(text); process.exit(); };
    socket.on('error', (error) => say(error.code)); socket.on('message', (data) => say(data.toString()));
    socket.connect(Number(process.argv[2]), process.argv[1], () => socket.send('x')); setTimeout(() => say('silence'), 2000);`;
  return (await host.mustRun([process.execPath, '-e', script, ip, String(port)])).trim();
}

async function destination(ip: string, port: number): Promise<unknown> {
  const text = await hears(lab.client, ip, port);
  if (!text.startsWith('{')) throw new Error(`not intercepted: ${text}`);
  const answer: unknown = JSON.parse(text);
  return answer;
}

function plan(acquire: 'redirect' | 'tproxy', host: string, port: number, intercept: Intercept = {}): NetPlan {
  return netPlan([{ name: 'https', type: 'ssl', listen: { host, port }, acquire, intercept: { except: [excepted.v4, `${excepted.v6}/128`], ...intercept } }]);
}

labDescribe.each([['redirect', 8443], ['tproxy', 8061]] as const)('%s', (acquire, port) => {
  beforeAll(() => applyNet(plan(acquire, '::', port), run));
  afterAll(() => removeNet(run));

  test('tells where IPv4 clients meant to go', async () => {
    const ip = acquire === 'tproxy' ? `::ffff:${v4}` : v4;
    expect(await destination(v4, 443)).toEqual({ by: 'gateway', from: `::ffff:${clientIp}`, destination: { ip, port: 443 } });
  });

  test('tells where IPv6 clients meant to go', async () => {
    expect(await destination(v6, 443)).toEqual({ by: 'gateway', from: network.client6, destination: { ip: v6, port: 443 } });
  });

  test('leaves other ports, exceptions and the gateway\'s own connections alone', async () => {
    expect(await hears(lab.client, v4, 5061)).toBe(fromServer);
    expect(await hears(lab.client, v6, 80)).toBe(fromServer);
    expect(await hears(lab.client, excepted.v4, 443)).toBe(fromServer);
    expect(await hears(lab.client, excepted.v6, 443)).toBe(fromServer);
    expect(await hears(lab.gateway, v4, 443)).toBe(fromServer);
    expect(await hears(lab.gateway, v6, 443)).toBe(fromServer);
  });

  test('does not take what is meant for the gateway itself', async () => {
    expect(await hears(lab.client, network.gatewayToClient.v4, 443)).toMatch(/ECONNREFUSED/);
    expect(await hears(lab.client, network.gatewayToServer.v6, 443)).toMatch(/ECONNREFUSED/);
    expect(await hears(lab.gateway, '127.0.0.1', 443)).toMatch(/ECONNREFUSED/);
    if (acquire === 'redirect') expect(await hears(lab.client, network.gatewayToClient.v4, 8443)).toContain('"destination":null');
  });

  test('refuses QUIC at once, and nothing else over UDP', async () => {
    for (const ip of [v4, v6]) {
      expect(await hearsUdp(lab.client, ip, 443)).toBe('ECONNREFUSED');
      expect(await hearsUdp(lab.client, ip, 4433)).toBe(fromServer);
      expect(await hearsUdp(lab.gateway, ip, 443)).toBe(fromServer);
    }
    expect((await run('nft', ['list', 'chain', 'inet', 'sallyport', 'refuse_quic'])).stdout).toMatch(/packets [1-9]/);
  });

  test('applied twice is applied once, and a foreign table stays', async () => {
    await run('nft', ['add', 'table', 'inet', 'foreign']);
    await applyNet(plan(acquire, '::', port), run);
    await applyNet(plan(acquire, '::', port), run);
    expect(netDifferences(await readNet(run), plan(acquire, '::', port))).toEqual([]);
    expect(await destination(v4, 443)).toMatchObject({ by: 'gateway' });
    await removeNet(run);
    await removeNet(run);
    expect((await run('nft', ['list', 'tables'])).stdout.trim()).toBe('table inet foreign');
    for (const family of ['-4', '-6']) {
      expect((await run('ip', [family, 'rule', 'show'])).stdout).not.toMatch(/23057/);
      expect((await run('ip', [family, 'route', 'show', 'table', '23057'])).stdout).toBe('');
    }
    expect(await hears(lab.client, v4, 443)).toBe(fromServer);
    await applyNet(plan(acquire, '::', port), run);
    await run('nft', ['delete', 'table', 'inet', 'foreign']);
  });

  test('a change by hand is found', async () => {
    await run('nft', ['add', 'rule', 'inet', 'sallyport', `take_${acquire}`, 'tcp', 'dport', '25', 'drop']);
    expect(netDifferences(await readNet(run), plan(acquire, '::', port))).toEqual(['rule too many: one without comment']);
    await run('nft', ['flush', 'chain', 'inet', 'sallyport', 'refuse_quic']);
    expect(netDifferences(await readNet(run), plan(acquire, '::', port)).filter((line) => line.startsWith('rule missing'))).toHaveLength(2);
    await applyNet(plan(acquire, '::', port), run);
    expect(netDifferences(await readNet(run), plan(acquire, '::', port))).toEqual([]);
  });

  test('scopes hold: interface and client networks', async () => {
    await applyNet(plan(acquire, '::', port, { interfaces: ['wan', 'eth*'] }), run);
    expect(await hears(lab.client, v4, 443)).toBe(fromServer);
    await applyNet(plan(acquire, '::', port, { interfaces: ['la*', 'eth0'], clients: [`${otherClientIp}/32`] }), run);
    expect(await hears(lab.client, v4, 443, clientIp)).toBe(fromServer);
    expect(await hears(lab.client, v4, 443, otherClientIp)).toContain('gateway');
    // Only an IPv4 network is named: IPv6 is left alone.
    expect(await hears(lab.client, v6, 443)).toBe(fromServer);
  });
});

labTest('TPROXY to a listener on one address, REDIRECT beside it, both at once', async () => {
  const both = netPlan([
    { name: 'sip', type: 'tcp-tunnel', listen: { host: '127.0.0.1', port: 8062 }, acquire: 'tproxy', intercept: null },
    { name: 'http', type: 'http', listen: { host: '0.0.0.0', port: 8080 }, acquire: 'redirect', intercept: null },
    { name: 'https', type: 'ssl', listen: { host: network.gatewayToClient.v4, port: 8443 }, acquire: 'redirect', intercept: null },
  ]);
  await applyNet(both, run);
  expect(await destination(v4, 5061)).toMatchObject({ destination: { ip: v4, port: 5061 } });
  expect(await destination(v4, 80)).toMatchObject({ destination: { ip: v4, port: 80 } });
  expect(await destination(v4, 443)).toMatchObject({ destination: { ip: v4, port: 443 } });
  // All three listeners are IPv4 only.
  for (const port of [5061, 80, 443]) expect(await hears(lab.client, v6, port)).toBe(fromServer);
  expect(netDifferences(await readNet(run), both)).toEqual([]);
  await removeNet(run);
});

labTest('a plan the kernel refuses changes nothing', async () => {
  await applyNet(plan('redirect', '::', 8443), run);
  const refusing: RunTool = async (program, args, input) => run(program, args, input?.replace('redirect to :8443', 'redirect to nowhere'));
  await expect(applyNet(plan('tproxy', '::', 8061), (program, args, input) => refusing(program, args, input?.replace('tproxy ip to', 'tproxy nonsense')))).rejects.toThrow(/nft/);
  expect(netDifferences(await readNet(run), plan('redirect', '::', 8443))).toEqual([]);
  await removeNet(run);
});

/** The facts behind doctor's word on rp_filter: strict alone works here; with src_valid_mark (wg-quick sets it) nothing does. */
labTest.each([[0, 0, true], [1, 0, true], [0, 1, false], [1, 1, false]])('TPROXY with rp_filter %i and src_valid_mark %i works: %s', async (filter, validMark, works) => {
  const settings = (own: number, mark: number): string[] => ['all', 'lan'].flatMap((name) => [`net.ipv4.conf.${name}.rp_filter=${own}`, `net.ipv4.conf.${name}.src_valid_mark=${mark}`]);
  await lab.gateway.mustRun(['sysctl', '-qw', ...settings(filter, validMark)]);
  await applyNet(plan('tproxy', '::', 8061), run);
  const heard = await hears(lab.client, v4, 443, '', 1000);
  await removeNet(run);
  await lab.gateway.mustRun(['sysctl', '-qw', ...settings(0, 0)]);
  expect(heard.includes('gateway')).toBe(works);
});

/** States of doctor's checks in the gateway's namespace, by name. */
async function doctor(acquire: string): Promise<Record<string, string>> {
  const { stdout } = await lab.gateway.run([process.execPath, doctorFile, acquire, 'doctor']);
  const { checks }: { checks: { name: string; state: string }[] } = JSON.parse(stdout);
  return Object.fromEntries(checks.map(({ name, state }) => [name, state]));
}

labTest.each(['redirect', 'tproxy'])('%s: doctor finds what is wrong, and is content after `net apply`, twice', async (acquire) => {
  const net = (action: string) => lab.gateway.run([process.execPath, doctorFile, acquire, 'net', action]);
  const set = (...settings: string[]) => lab.gateway.mustRun(['sysctl', '-qw', ...settings]);
  expect(await doctor(acquire)).toMatchObject({ 'ip-forward': 'ok', 'ip6-forward': 'ok', nftables: 'fail' });
  for (let round = 0; round < 2; round += 1) {
    expect(await net('apply')).toMatchObject({ code: 0, stdout: expect.stringContaining(`https: IPv6 TCP 443 by ${acquire} to port 8443`) });
    expect(await doctor(acquire)).toMatchObject({ nftables: 'ok' });
  }
  await set('net.ipv4.ip_forward=0', 'net.ipv6.conf.all.forwarding=0', 'net.ipv4.conf.lan.rp_filter=1', 'net.ipv4.conf.lan.src_valid_mark=1');
  const wrong = await doctor(acquire);
  await set('net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1', 'net.ipv4.conf.lan.rp_filter=0', 'net.ipv4.conf.lan.src_valid_mark=0');
  expect(wrong).toMatchObject({ 'ip-forward': 'fail', 'ip6-forward': 'fail', nftables: 'ok' });
  if (acquire === 'tproxy') {
    // Two findings of one name: the last one stands here.
    expect(wrong['rp-filter']).toBe('warn');
    expect(await doctor(acquire)).toMatchObject({ 'rp-filter': 'ok', capability: 'ok' });
    await lab.gateway.mustRun(['ip', 'rule', 'del', 'pref', '23057']);
    expect(await doctor(acquire)).toMatchObject({ nftables: 'fail' });
    const bounded = await lab.gateway.run(['setpriv', '--bounding-set=-net_admin', process.execPath, doctorFile, acquire, 'doctor']);
    expect(bounded.stdout).toMatch(/"name":"capability","state":"fail"/);
  }
  expect(await net('remove')).toMatchObject({ code: 0 });
  expect((await run('nft', ['list', 'ruleset'])).stdout).toBe('');
});

labTest('doctor asks a STUN server (coturn) over UDP, and says what it sees, or that nothing came back', async () => {
  const stun = await startStun(lab.server);
  const udp = async (port: number): Promise<unknown> => {
    const { stdout } = await lab.gateway.run([process.execPath, doctorFile, 'redirect', 'doctor', '--stun', `${address('turns').v4}:${port}`]);
    return JSON.parse(stdout).checks.find((check: { name: string }) => check.name === 'udp');
  };
  try {
    // It says that it is up, not that it listens.
    await expect.poll(() => udp(3479), { timeout: 20_000 }).toMatchObject({ state: 'ok', text: expect.stringMatching(`which sees ${network.gatewayToServer.v4.replaceAll('.', '\\.')}:\\d+$`) });
    expect(await udp(3999)).toMatchObject({ state: 'warn', text: expect.stringContaining('UDP does not reach') });
  } finally {
    await stun.stop();
  }
});
