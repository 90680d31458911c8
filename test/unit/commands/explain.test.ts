// `sallyport explain`: the words of CONTRACT, text and JSON, and exit codes.

import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { run } from '../../../src/commands/explain.ts';

const config = join(import.meta.dirname, '..', '..', '..', 'examples', 'skype-for-business.yaml');

async function explain(...args: string[]): Promise<{ code: number; text: string }> {
  let text = '';
  const code = await run(args, { write: (part: string) => (text += part) });
  return { code, text };
}

describe('explain', () => {
  it('shows the verdict of every stage, the rule that gave it, and why the others did not match', async () => {
    const { code, text } = await explain('-c', config, '--dst', '203.0.113.9:443', '--sni', 'sip.contoso.com', '--protocol', 'sips');
    expect(code).toBe(0);
    for (const line of [/^connection +allow {2}by connection\/all$/m, /^ssl +intercept {2}by ssl\/proxy-handoff$/m, /^protocol +handoff {2}by protocol\/known$/m, /^ +not protocol\/deny-unknown: its `not` holds/m, /^ +tunnelOnError: NOT_TLS .*\(default\)$/m]) expect(text).toMatch(line);
  });
  it('takes all the words of CONTRACT', async () => {
    const words = ['--sni', 'a.example', '--alpn', 'h2', '--ja4', 't13d', '--client', '10.0.0.1', '--service', 'proxy', '--protocol', 'https', '--problem', 'expired', '--method', 'GET', '--host', 'a.example', '--path', '/', '--user', 'alice'];
    const { code, text } = await explain('-c', config, '--dst', 'a.example:443', ...words);
    expect([code, text]).toEqual([0, expect.stringMatching(/^certificate +deny {2}by certificate\/bad$/m)]);
  });
  it('--json is the trace', async () => {
    const { code, text } = await explain('-c', config, '--dst', '203.0.113.9:443', '--json', '--alpn', 'h2', '--alpn', 'http/1.1');
    const trace: unknown = JSON.parse(text);
    expect([code, trace]).toMatchObject([0, { service: 'https', stages: [{ stage: 'connection', action: 'allow' }, { stage: 'ssl', action: 'intercept' }, {}, { stage: 'protocol', action: 'deny', rule: 'protocol/deny-unknown' }, {}, {}, {}] }]);
  });
  it('bad words are 2 and say the right ones', async () => {
    expect(await explain('-c', config)).toEqual({ code: 2, text: expect.stringContaining('--dst: expected IP:PORT') });
    expect(await explain('-c', config, '--dst', 'a:1', '--protocol', 'skype')).toEqual({ code: 2, text: expect.stringContaining('known: ms-turn, ssltcp, tls') });
    expect(await explain('--nope')).toEqual({ code: 2, text: expect.stringContaining('see sallyport explain --help') });
    expect(await explain('-c', '/nowhere/x.yaml', '--dst', 'a:1')).toEqual({ code: 2, text: expect.stringContaining('cannot read /nowhere/x.yaml') });
  });
  it('--help lists every word', async () => {
    const { code, text } = await explain('--help');
    expect([code, ['--dst', '--sni', '--alpn', '--ja4', '--client', '--service', '--protocol', '--problem', '--method', '--host', '--path', '--user'].filter((word) => !text.includes(word))]).toEqual([0, []]);
  });
  it('without a file it explains the built-in config', async () => expect(await explain('--dst', '203.0.113.9:443')).toEqual({ code: 0, text: expect.stringMatching(/^ssl +intercept {2}by ssl\/intercept$/m) }));
});
