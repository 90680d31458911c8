import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { run } from '../../../src/commands/explain.ts';
import type { Session } from '../../../src/core/session.ts';
import { nobody } from '../../../src/policy/facts.ts';
import { accessLine } from '../../../src/sessions/access-log.ts';

const config = join(import.meta.dirname, '..', '..', '..', 'examples', 'skype-for-business.yaml');
let folder = '';
beforeAll(() => { folder = mkdtempSync(join(tmpdir(), 'sallyport-replay-')); });
afterAll(() => rmSync(folder, { recursive: true }));

function record(id: string, changes: Partial<Session>): string {
  return accessLine({
    ...nobody, id, service: 'https', client: { ip: '192.0.2.7', port: 5 }, destination: { ip: '203.0.113.9', port: 443, host: null }, sni: 'a.example',
    chain: ['tls', 'https'], protocol: 'https', action: 'intercept', rule: 'ssl/proxy-handoff', ...changes,
  });
}

async function explain(log: string, ...more: string[]): Promise<{ code: number; text: string }> {
  const file = join(folder, 'access.jsonl');
  writeFileSync(file, log);
  let text = '';
  const code = await run(['-c', config, '--replay', file, ...more], { write: (part: string) => (text += part) });
  return { code, text };
}

describe('explain --replay', () => {
  const log = [
    record('w0-1', {}), record('w0-2', { rule: 'ssl/other' }),
    ...[3, 4, 5, 6].map((number) => record(`w0-${number}`, { chain: ['tls', 'unknown'], protocol: 'unknown', action: 'relay', sni: 'odd\u001b[2J.example' })),
    record('w0-7', { action: null, rule: null, chain: [] }), record('w0-8', { service: 'gone' }), '{"half\n', '\n',
  ].join('');

  it('sums up what would change, with examples', async () => {
    const { code, text } = await explain(log);
    expect(code).toBe(0);
    expect(text.split('\n')).toEqual([
      '8 sessions: 4 would change, 1 would not, 1 would end alike by another rule',
      '  4 relayed -> denied  by protocol/deny-unknown',
      ...[3, 4, 5].map((number) => expect.stringMatching(new RegExp(`^ {6}w0-${number} {2}192\\.0\\.2\\.7 -> odd.\\[2J\\.example:443 {2}unknown {2}was by ssl/proxy-handoff$`))),
      '1 ended before policy was asked, or were judged request by request',
      '1 are of services that the config does not have',
      '1 lines are no sessions',
      '',
    ]);
    expect(text).not.toContain('\u001b');
  });

  it('--json is the same as data', async () => {
    const { text } = await explain(log, '--json');
    expect(JSON.parse(text)).toMatchObject({ sessions: 8, same: 1, sameByOtherRule: 1, apart: 1, foreign: 1, unread: 1, changes: [{ from: 'relay', to: 'deny', rule: 'protocol/deny-unknown', sessions: 4, examples: [{ id: 'w0-3' }, {}, {}] }] });
  });

  it('a log that is not there is 1, facts beside it are 2', async () => {
    let text = '';
    const out = { write: (part: string) => (text += part) };
    expect(await run(['-c', config, '--replay', join(folder, 'none.jsonl')], out)).toBe(1);
    expect(text).toContain('cannot read');
    expect(await run(['-c', config, '--replay', 'x', '--dst', '192.0.2.1:1'], out)).toBe(2);
  });
});
