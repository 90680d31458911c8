import { expect, test } from 'vitest';
import type { EndedRequest } from '../../../src/core/flow.ts';
import type { Session } from '../../../src/core/session.ts';
import { countRequest, httpDetails, nameHttp, noteRequest } from '../../../src/http/account.ts';
import { depsFor, sessionFor } from './harness.ts';

test('details show the last request, bounded', () => {
  const session = sessionFor();
  const details = httpDetails(session);
  noteRequest(details, 'GET', 'a', 32);
  noteRequest(details, 'X'.repeat(50), 'h'.repeat(50), 32);
  expect(httpDetails(session)).toBe(details);
  expect(session.details.http).toEqual({ requests: 2, method: 'X'.repeat(32), host: 'h'.repeat(32), status: null, upgraded: null });
});

const ended = (method: string, status: number): EndedRequest => ({ method, host: 'a', target: '/', status, startedAt: Date.now(), fromClientBytes: 1, toClientBytes: 2 });

test('a proxy\'s connection is called http once', () => {
  const session = { ...sessionFor(), protocol: 'pending' as const, chain: ['http-explicit'] };
  const changed: string[] = [];
  const deps = { ...depsFor(), protocolChanged: ({ protocol }: Session) => void changed.push(protocol) };
  nameHttp(session, deps);
  nameHttp(session, deps);
  expect([session.protocol, session.chain, changed]).toEqual(['http', ['http-explicit', 'http'], ['http']]);
});

test('the request log, where there is one, gets what ended', () => {
  const lines: EndedRequest[] = [];
  const request = ended('GET', 200);
  countRequest(sessionFor(), { ...depsFor(), requestLog: { write: (_session, line) => void lines.push(line) } }, request);
  expect(lines).toEqual([request]);
});

test('meters get words of closed sets and seconds', () => {
  const seen: string[] = [];
  const deps = depsFor({ count: (name, labels) => seen.push(`${name} ${labels.join(',')}`) });
  for (const [method, status] of [['GET', 204], ['EVIL-1', 0], ['EVIL-2', 500], ['GET', 299]] as const) countRequest(sessionFor(), deps, ended(method, status));
  expect(seen.filter((line) => line.startsWith('http_requests_total'))).toEqual([
    'http_requests_total https,GET,2xx', 'http_requests_total https,other,none', 'http_requests_total https,other,5xx', 'http_requests_total https,GET,2xx',
  ]);
  expect(seen.filter((line) => line === 'http_request_seconds https')).toHaveLength(4);
});
