import { expect, test } from 'vitest';
import { brokenRequest } from '../../../src/http/failures.ts';
import type { Pending } from '../../../src/http/pending.ts';
import { ResponseSide } from '../../../src/http/responses.ts';
import { notedExchange } from './fake-exchange.ts';
import type { Noted } from './fake-exchange.ts';
import { latin1 } from './messages.ts';

const ok = (body: string): string => `HTTP/1.1 200 OK\r\nContent-Length: ${String(body.length)}\r\n\r\n${body}`;

function expecting(...requests: Partial<Pending>[]): Noted {
  const exchange = notedExchange();
  for (const request of requests) exchange.queue.push({ ...brokenRequest(0), method: 'GET', ours: false, closeAfter: false, persists: true, ...request });
  return exchange;
}

test('whole responses are forwarded as the very same buffer', () => {
  const exchange = expecting({}, {});
  const chunk = latin1(ok('a') + ok('b'));
  new ResponseSide(exchange).onData(chunk);
  expect(exchange.toClientBytes).toHaveLength(1);
  expect(exchange.toClientBytes[0]).toBe(chunk);
  expect(exchange.calls).toEqual(['done false', 'done false']);
});

test('bytes that nobody asked for are dropped', () => {
  const exchange = expecting({});
  new ResponseSide(exchange).onData(latin1(ok('a') + ok('evil')));
  expect(exchange.toClientBytes.map(String)).toEqual([ok('a')]);
  expect(exchange.calls).toEqual(['done false', 'finish']);
});

test.each([
  ['a request that does not persist', { persists: false }, ok('')], ['Connection: close', {}, 'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n'],
  ['a final answer in place of 100', { awaitsContinue: true }, ok('')], ['HTTP/1.0', {}, 'HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n'],
])('%s ends the connection', (_name, request, text) => {
  const exchange = expecting(request);
  new ResponseSide(exchange).onData(latin1(text));
  expect(exchange.calls).toEqual(['done true']);
  expect(exchange.toClientBytes.map(String)).toEqual([text]);
});

test('interim responses belong to the same request', () => {
  const exchange = expecting({});
  new ResponseSide(exchange).onData(latin1(`HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n${ok('a')}`));
  expect(exchange.calls).toEqual(['done false']);
  expect(exchange.details.status).toBe(200);
});

test('what follows a switch is another\'s', () => {
  const upgrade = expecting({ upgrade: 'x' });
  new ResponseSide(upgrade).onData(latin1('HTTP/1.1 101 S\r\nUpgrade: x\r\n\r\nraw'));
  expect(upgrade.calls).toEqual(['switch raw']);
  const connect = expecting({ method: 'CONNECT' });
  new ResponseSide(connect).onData(latin1('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nraw'));
  expect(connect.calls).toEqual(['tunnel raw']);
});

test('the end of the server ends what may end so, and is a reset elsewhere', () => {
  for (const [text, calls] of [
    ['', ['failResponse RESET_BY_UPSTREAM']], ['HTTP/1.1 200 OK\r\n\r\npart', ['done true']], ['HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart', ['failResponse RESET_BY_UPSTREAM']],
    ['HTTP/1.1 2', ['failResponse RESET_BY_UPSTREAM']], [ok('a'), ['done false', 'finish']],
  ] as const) {
    const exchange = expecting({});
    const side = new ResponseSide(exchange);
    if (text !== '') side.onData(latin1(text));
    side.onEnd();
    side.stop();
    expect(exchange.calls, text).toEqual(calls);
  }
});
