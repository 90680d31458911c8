import { expect, test } from 'vitest';
import { RequestSide } from '../../../src/http/requests.ts';
import { notedExchange } from './fake-exchange.ts';
import { latin1 } from './messages.ts';

const get = (path: string, more = ''): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n${more}\r\n`;

test('a chunk of whole requests is forwarded as the very same buffer', () => {
  const exchange = notedExchange();
  const chunk = latin1(get('/1') + get('/2'));
  new RequestSide(exchange).onData(chunk);
  expect(exchange.toServer).toHaveLength(1);
  expect(exchange.toServer[0]).toBe(chunk);
  expect(exchange.queue.map((pending) => pending.method)).toEqual(['GET', 'GET']);
});

test('a partial head is kept back, a partial body is not', () => {
  const exchange = notedExchange();
  const side = new RequestSide(exchange);
  side.onData(latin1('POST / HTTP/1.1\r\nHost: a\r\nContent-Le'));
  expect(exchange.toServer).toEqual([]);
  expect(side.midRequest).toBe(true);
  side.onData(latin1('ngth: 5\r\n\r\nab'));
  expect(exchange.toServer.map(String)).toEqual(['POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab']);
  side.onData(latin1(`cde${get('/2').slice(0, 5)}`));
  expect(exchange.toServer.map(String).slice(1)).toEqual(['cde']);
  side.stop();
});

test('a full pipeline holds the client until a response is done', () => {
  const exchange = notedExchange({ limits: { httpPipelineMax: 1 } });
  const side = new RequestSide(exchange);
  side.onData(latin1(get('/1') + get('/2')));
  expect(exchange.toServer.map(String)).toEqual([get('/1')]);
  expect(exchange.calls).toEqual(['hold']);
  exchange.queue.shift();
  side.release();
  expect(exchange.toServer.map(String)).toEqual([get('/1'), get('/2')]);
  expect(exchange.calls).toEqual(['hold', 'resume']);
});

test('after an upgrade everything waits, and the end of the client too', () => {
  const exchange = notedExchange();
  const side = new RequestSide(exchange);
  side.onData(latin1(`${get('/ws', 'Connection: upgrade\r\nUpgrade: x\r\n')}raw`));
  side.onEnd();
  expect(exchange.calls).toEqual(['hold']);
  expect(String(side.takeRest())).toBe('raw');
});

test('an Upgrade field that Connection does not name switches nothing', () => {
  const exchange = notedExchange();
  new RequestSide(exchange).onData(latin1(get('/', 'Upgrade: x\r\n') + get('/2')));
  expect(exchange.queue.map((pending) => pending.upgrade)).toEqual([null, null]);
});

test('only a first head that is broken or foreign is given back', () => {
  for (const [text, call] of [['NICK a\r\n', 'back 8 NOT_HTTP'], ['GET  / HTTP/1.1\r\n', 'back 17 HTTP_MALFORMED'], ['GET / HTTP/1.1\n', 'failRequest HTTP_AMBIGUOUS']] as const) {
    const first = notedExchange();
    new RequestSide(first).onData(latin1(text));
    expect(first.calls).toEqual([call]);
    const later = notedExchange();
    new RequestSide(later).onData(latin1(get('/') + text));
    expect(later.calls).toEqual([`failRequest ${call.includes('AMBIGUOUS') ? 'HTTP_AMBIGUOUS' : 'HTTP_MALFORMED'}`]);
    expect(later.toServer.map(String)).toEqual([get('/')]);
  }
});

test('a denied request is cut out of what is forwarded', () => {
  const exchange = notedExchange({ http: (facts) => ({ action: facts.path === '/no' ? 'deny' : 'allow', rule: 'http/1', status: null }) });
  new RequestSide(exchange).onData(latin1(get('/1') + get('/no') + get('/2')));
  expect(exchange.toServer.map(String)).toEqual([get('/1'), get('/2')]);
  expect(exchange.calls).toEqual(['refuse REQUEST_DENIED', 'advance']);
});

test('the revocation host is for us outside TLS only', () => {
  for (const insideTls of [true, false]) {
    const exchange = notedExchange({ insideTls, revocationHost: 'a' });
    new RequestSide(exchange).onData(latin1(get('/crl')));
    expect(exchange.toServer).toHaveLength(insideTls ? 1 : 0);
    expect(exchange.queue[0]?.ours).toBe(!insideTls);
  }
});
