import { expect, test } from 'vitest';
import { countRequest, httpDetails, noteRequest } from '../../../src/http/account.ts';
import { depsFor, sessionFor } from './harness.ts';

test('details show the last request, bounded', () => {
  const session = sessionFor();
  const details = httpDetails(session);
  noteRequest(details, 'GET', 'a', 32);
  noteRequest(details, 'X'.repeat(50), 'h'.repeat(50), 32);
  expect(httpDetails(session)).toBe(details);
  expect(session.details.http).toEqual({ requests: 2, method: 'X'.repeat(32), host: 'h'.repeat(32), status: null, upgraded: null });
});

test('meters get words of closed sets and seconds', () => {
  const seen: string[] = [];
  const deps = depsFor({ count: (name, labels) => seen.push(`${name} ${labels.join(',')}`) });
  for (const [method, status] of [['GET', 204], ['EVIL-1', 0], ['EVIL-2', 500], ['GET', 299]] as const) countRequest(sessionFor(), deps, method, status, Date.now());
  expect(seen.filter((line) => line.startsWith('http_requests_total'))).toEqual([
    'http_requests_total https,GET,2xx', 'http_requests_total https,other,none', 'http_requests_total https,other,5xx', 'http_requests_total https,GET,2xx',
  ]);
  expect(seen.filter((line) => line === 'http_request_seconds https')).toHaveLength(4);
});
