import { expect, test } from 'vitest';
import { netUsage, run } from '../../../src/commands/net.ts';
import type { RunTool } from '../../../src/net/apply.ts';
import type { NetService } from '../../../src/net/plan.ts';

const https: NetService = { name: 'https', type: 'ssl', listen: { host: '::', port: 8443 }, acquire: 'tproxy', intercept: null };

async function net(args: string[], services: NetService[] = [https], tools: RunTool = () => Promise.resolve({ code: 1, stdout: '', stderr: 'Operation not permitted' })) {
  const out: string[] = [];
  const complaints: string[] = [];
  const code = await run(args, { services, tools, print: (line) => void out.push(line), complain: (line) => void complaints.push(line) });
  return { code, out: out.join('\n'), complaints: complaints.join('\n') };
}

test('show prints what nft takes, and the routing as comments', async () => {
  const { code, out } = await net(['show']);
  expect(code).toBe(0);
  expect(out).toMatch(/^table inet sallyport \{\}\ndelete table inet sallyport\n/);
  expect(out).toContain('# ip -6 rule add pref 23057 fwmark 0x5a11 lookup 23057');
});

test.each([[['frobnicate']], [[]], [['show', 'more']]])('%j is bad usage', async (args) => {
  expect(await net(args)).toEqual({ code: 2, out: '', complaints: netUsage });
});

test('help is no fault', async () => {
  expect(await net(['--help'])).toEqual({ code: 0, out: netUsage, complaints: '' });
});

test('a config with problems, or without a transparent service, is refused before any tool runs', async () => {
  const never: RunTool = () => Promise.reject(new Error('ran a tool'));
  expect(await net(['apply'], [{ ...https, listen: { host: 'x', port: 1 } }], never)).toMatchObject({ code: 2, complaints: 'service https: x is no address' });
  expect(await net(['apply'], [{ ...https, acquire: null }], never)).toMatchObject({ code: 2, complaints: expect.stringContaining('no transparent service') });
});

test('a tool that refuses is exit 1 in one line', async () => {
  for (const action of ['apply', 'remove']) expect(await net([action])).toEqual({ code: 1, out: '', complaints: 'nft: needs root (CAP_NET_ADMIN)' });
});

test('rules that are not there after all are told', async () => {
  const { code, complaints } = await net(['apply'], [https], () => Promise.resolve({ code: 0, stdout: '', stderr: '' }));
  expect(code).toBe(1);
  expect(complaints).toContain('applied, but table inet sallyport is missing');
});
