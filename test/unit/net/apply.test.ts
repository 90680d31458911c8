// The order of steps and the words for failures; the real tools run in test/lab/net.test.ts.

import { describe, expect, test } from 'vitest';
import { applyNet, netDifferences, NetError, readNet, removeNet, systemTools } from '../../../src/net/apply.ts';
import type { NetState, RunTool, ToolResult } from '../../../src/net/apply.ts';
import { renderTable } from '../../../src/net/nftables.ts';
import { netPlan } from '../../../src/net/plan.ts';

const tproxy = netPlan([{ name: 'https', type: 'ssl', listen: { host: '::', port: 8443 }, acquire: 'tproxy', intercept: null }]);
const redirect = netPlan([{ name: 'https', type: 'ssl', listen: { host: '::', port: 8443 }, acquire: 'redirect', intercept: null }]);
const done: ToolResult = { code: 0, stdout: '', stderr: '' };

/** Tools that note what they are told and answer by the first key found in the command line. */
function tools(answers: Record<string, Partial<ToolResult>> = {}): { run: RunTool; calls: string[] } {
  const calls: string[] = [];
  const run: RunTool = (program, args, input) => {
    const line = [program, ...args].join(' ');
    calls.push(input === undefined ? line : `${line} <<< ${input.split('\n')[0]}`);
    const key = Object.keys(answers).find((each) => line.includes(each));
    return Promise.resolve({ ...done, ...(key === undefined ? {} : answers[key]) });
  };
  return { run, calls };
}

test('rules are checked, then routing is made, then rules are put in force', async () => {
  const { run, calls } = tools();
  await applyNet(tproxy, run);
  expect(calls.filter((call) => call.includes('<<<'))).toEqual([
    'nft -c -f - <<< table inet sallyport {}',
    'ip -4 -batch - <<< route replace local default dev lo table 23057',
    'ip -6 -batch - <<< route replace local default dev lo table 23057',
    'nft -f - <<< table inet sallyport {}',
  ]);
});

test('rules that nft refuses leave no routing behind', async () => {
  const { run, calls } = tools({ '-c -f': { code: 1, stderr: '\n/dev/stdin:3:1: Error: nonsense\n' } });
  await expect(applyNet(tproxy, run)).rejects.toThrow(new NetError('nft: /dev/stdin:3:1: Error: nonsense'));
  expect(calls).toHaveLength(1);
});

test('switching from TPROXY to REDIRECT takes the routing away', async () => {
  const { run, calls } = tools({ 'rule show': { stdout: '[{"priority":23057,"fwmark":"0x5a11","table":"23057"}]' }, 'route show': { stdout: '[{"type":"local","dst":"default","dev":"lo"}]' } });
  await applyNet(redirect, run);
  expect(calls.filter((call) => call.startsWith('ip') && call.includes('<<<'))).toEqual(['4', '6'].map((family) => `ip -${family} -batch - <<< rule del pref 23057 fwmark 0x5a11 lookup 23057`));
});

test('removal takes the rules first', async () => {
  const { run, calls } = tools();
  await removeNet(run);
  expect(calls[0]).toBe('nft -f - <<< table inet sallyport {}');
  expect(calls.filter((call) => call.includes('batch'))).toEqual([]);
});

test.each([
  [{ code: 1, stderr: 'Error: Operation not permitted' }, 'nft: needs root (CAP_NET_ADMIN)'],
  [{ code: null, stderr: 'spawn nft ENOENT' }, 'nft is not installed (Debian: apt install nftables)'],
  [{ code: null, stderr: '' }, 'nft: ended with a signal'],
])('%j is told as %s', async (answer, message) => {
  await expect(removeNet(tools({ nft: answer }).run)).rejects.toThrow(new NetError(message));
  expect((await readNet(tools({ nft: answer }).run)).fault).toBe(message);
});

describe('what differs', () => {
  const { comments } = renderTable(tproxy);
  const routed = { 4: { rules: 1, route: true }, 6: { rules: 1, route: true } };
  const state = (changes: Partial<NetState>): NetState => ({ comments, routing: routed, fault: null, ...changes });
  test.each<[string, Partial<NetState>, string[]]>([
    ['nothing', {}, []],
    ['no table', { comments: null }, ['table inet sallyport is missing']],
    ['a rule lost', { comments: comments.slice(1) }, [`rule missing: ${comments[0]}`]],
    ['a foreign rule', { comments: [...comments, ''] }, ['rule too many: one without comment']],
    ['the order', { comments: [...comments].reverse() }, ['rules in another order']],
    ['a rule twice', { comments: [...comments, comments.at(-1) ?? ''] }, ['rules in another order']],
    ['routing', { routing: { ...routed, 6: { rules: 0, route: true } } }, ['IPv6 routing of marked packets (TPROXY) is missing']],
  ])('%s', (_name, changes, differences) => {
    expect(netDifferences(state(changes), tproxy)).toEqual(differences);
  });

  test('routing left over', () => {
    expect(netDifferences({ comments: renderTable(redirect).comments, routing: routed, fault: null }, redirect)).toEqual([
      'IPv4 routing of marked packets (TPROXY) is left over', 'IPv6 routing of marked packets (TPROXY) is left over',
    ]);
  });
});

test('the table is read', async () => {
  const listing = JSON.stringify({ nftables: [{ rule: { comment: 'x' } }] });
  expect(await readNet(tools({ 'list tables': { stdout: '{"nftables": [{"table": {"family": "inet", "name": "sallyport", "handle": 2}}]}' }, 'list table ': { stdout: listing } }).run)).toEqual({
    comments: ['x'], routing: { 4: { rules: 0, route: false }, 6: { rules: 0, route: false } }, fault: null,
  });
  expect(await readNet(tools({ 'list tables': { stdout: '{"nftables": [{"table": {"family": "inet", "name": "other", "handle": 2}}]}' } }).run)).toMatchObject({ comments: null, fault: null });
});

test('the real runner answers what a tool says, and that it is not there', async () => {
  const run = systemTools(5000);
  expect(await run('ip', ['-Version'])).toMatchObject({ code: 0, stdout: expect.stringContaining('iproute2') });
  expect(await run('ip', ['nonsense'])).toMatchObject({ code: expect.any(Number), stderr: expect.stringContaining('nonsense') });
});
