import { expect, test } from 'vitest';
import { checkLines, doctorUsage, run } from '../../../src/commands/doctor.ts';
import { netPlan } from '../../../src/net/plan.ts';

async function doctor(args: string[], caFile = '/nonexistent/ca.pem') {
  const out: string[] = [];
  const complaints: string[] = [];
  const code = await run(args, {
    wants: { plan: netPlan([]), caFile, crlUrls: ['http://127.0.0.1:1/x.crl'], dnsServers: ['127.0.0.1:1'], stunServer: null, sessionsMax: 1 },
    tools: () => Promise.resolve({ code: 1, stdout: '', stderr: '' }), probeMs: 300,
    print: (line) => void out.push(line), complain: (line) => void complaints.push(line),
  });
  return { code, out: out.join('\n'), complaints: complaints.join('\n') };
}

test('a failed check is exit 1, with its mend', async () => {
  const { code, out } = await doctor([]);
  expect(code).toBe(1);
  expect(out).toMatch(/^fail {2}crl +http:\/\/127\.0\.0\.1:1\/x\.crl: ECONNREFUSED/m);
  expect(out).toMatch(/^ +-> Start the gateway/m);
  expect(out).toMatch(/\d+ ok, \d+ warnings, 2 failed$/);
});

test('JSON holds the same checks; --stun adds one', async () => {
  const names = async (args: string[]): Promise<string[]> => JSON.parse((await doctor(args)).out).checks.map((check: { name: string }) => check.name);
  expect(await names(['--json'])).toEqual(['clock', 'ca', 'crl', 'dns', 'open-files']);
  expect(await names(['--stun', '127.0.0.1:1', '--json'])).toEqual(['clock', 'ca', 'crl', 'dns', 'udp', 'open-files']);
});

test.each([[['--frob']], [['--stun']], [['--server']], [['--server', 'a/b']], [['--stun', 'a b']], [['extra']]])('%j is bad usage', async (args) => {
  expect(await doctor(args)).toEqual({ code: 2, out: '', complaints: doctorUsage });
});

test('--server looks at certificates, as often as it is given', async () => {
  const { code, out } = await doctor(['--server', '127.0.0.1:1', '--server', '[::1]:1', '--json']);
  expect(code).toBe(1);
  const servers = JSON.parse(out).checks.filter((check: { name: string }) => check.name === 'server');
  expect(servers.map((check: { text: string }) => check.text)).toEqual(['127.0.0.1:1: ECONNREFUSED', '[::1]:1: ECONNREFUSED']);
});

test('help is no fault', async () => {
  expect(await doctor(['--help'])).toEqual({ code: 0, out: doctorUsage, complaints: '' });
});

test('lines stand in columns', () => {
  expect(checkLines([{ name: 'ca', state: 'ok', text: 'fine', mend: null }, { name: 'nftables', state: 'fail', text: 'gone', mend: 'put back' }])).toEqual([
    'ok    ca        fine', 'fail  nftables  gone', '                -> put back', '1 ok, 0 warnings, 1 failed',
  ]);
});
