import { spawnSync } from 'node:child_process';
import { expect, test } from 'vitest';
import type { Session } from '../../../src/core/session.ts';
import { sessionFields, silentLogger } from '../../../src/core/log.ts';

/** What a process writes that logs with `createLogger`. */
function lines(level: string, code: string): { stdout: string; records: Record<string, unknown>[] } {
  const script = `import { createLogger } from '${new URL('../../../src/core/log.ts', import.meta.url).href}'; const log = createLogger('${level}'); ${code}`;
  const { stdout, stderr, status } = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' });
  expect(status).toBe(0);
  return { stdout, records: stderr.split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as Record<string, unknown>) };
}

test('JSON lines on standard error, with the time as text, and none below the level; errors with their stack', () => {
  const { stdout, records } = lines('info', "log.debug('no'); log.info({ session: 's1' }, 'yes'); log.error({ err: new TypeError('a bug') }, 'defect');");
  expect(stdout).toBe('');
  expect(records).toHaveLength(2);
  expect(records[0]).toMatchObject({ msg: 'yes', session: 's1', time: expect.stringMatching(/^\d{4}-\d\d-\d\dT/) as string });
  expect(records[1]).toMatchObject({ err: { type: 'TypeError', message: 'a bug', stack: expect.stringContaining('    at ') as string } });
});

test('the silent one is silent', () => {
  expect(silentLogger.isLevelEnabled('fatal')).toBe(false);
});

test('a flow\'s line names its session and nothing of what it carries', () => {
  const session = { id: 's1', service: 'https', client: { ip: '192.0.2.1', port: 5 }, sni: 'site.test', protocol: 'https', user: 'anna', details: { http: {} } } as unknown as Session;
  expect(sessionFields(session)).toEqual({ session: 's1', service: 'https', client: '192.0.2.1', sni: 'site.test', protocol: 'https' });
});
