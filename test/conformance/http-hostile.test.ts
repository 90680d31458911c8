// Request smuggling: every row of the hostile table, at every split by the parsers and over real sockets in front of an
// origin that would take anything, ends refused and is never forwarded.

import { afterEach, describe, expect, test } from 'vitest';
import type { FlowError } from '../../src/core/errors.ts';
import { limitsWith } from '../../src/core/limits.ts';
import { detectHttp } from '../../src/http/detect.ts';
import { http } from '../../src/http/index.ts';
import { connect, receive, startGateway, startRawOrigin } from '../unit/http/harness.ts';
import type { Gateway } from '../unit/http/harness.ts';
import { latin1, readStream, splits } from '../unit/http/messages.ts';
import { hostileRequests, hostileResponses } from './http-hostile.ts';

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

test('the table is as large as promised, each row once', () => {
  expect(hostileRequests.length).toBeGreaterThanOrEqual(60);
  expect(new Set(hostileRequests.map((row) => row.bytes)).size).toBe(hostileRequests.length);
});

describe.each(hostileRequests)('request: $name', ({ bytes, code }) => {
  test('is found to be HTTP, so that a handler refuses it', () => {
    expect(detectHttp(latin1(bytes), 'client', limitsWith())).toEqual({ facts: null });
  });

  test('is refused at every split', () => {
    const whole = latin1(bytes);
    const pieces = whole.length > 2_000 ? [[whole], [whole.subarray(0, 40), whole.subarray(40)]] : splits(whole);
    for (const split of pieces) expect(readStream('request', split).end, String(split.length)).toBe(code);
  });

  test('never reaches the origin', async () => {
    const origin = await startRawOrigin('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n', (text) => text.length > 0);
    closers.push(origin.close);
    const gateway = await gatewayTo(origin.port);
    const socket = await connect(gateway.port);
    closers.push(() => socket.destroy());
    socket.end(latin1(bytes));
    expect(await receive(socket)).toMatch(new RegExp(`^HTTP/1\\.1 400 Bad Request\\r\\n[\\s\\S]*${code}`));
    expect(((await gateway.ended()) as FlowError).code).toBe(code);
    expect(origin.received()).toBe('');
  });

  test('sent after a good request, ends the connection with 400 and the origin sees only the good one', async () => {
    const good = 'GET /good HTTP/1.1\r\nHost: a\r\n\r\n';
    const origin = await startRawOrigin('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n', (text) => text.length > 0);
    closers.push(origin.close);
    const gateway = await gatewayTo(origin.port);
    const socket = await connect(gateway.port);
    closers.push(() => socket.destroy());
    socket.end(latin1(good + bytes));
    const text = await receive(socket);
    expect(text).toMatch(/^HTTP\/1\.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP\/1\.1 400 /);
    expect(origin.received()).toBe(good);
  });
});

describe.each(hostileResponses)('response: $name', ({ bytes, code }) => {
  test('is refused at every split', () => {
    const whole = latin1(bytes);
    const pieces = whole.length > 2_000 ? [[whole], [whole.subarray(0, 40), whole.subarray(40)]] : splits(whole);
    for (const split of pieces) expect(readStream('response', split).end).toBe(code);
  });

  test('is a 502 page to the client', async () => {
    const origin = await startRawOrigin(bytes, (text) => text.endsWith('\r\n\r\n'));
    closers.push(origin.close);
    const gateway = await gatewayTo(origin.port);
    const socket = await connect(gateway.port);
    closers.push(() => socket.destroy());
    socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    expect(await receive(socket)).toMatch(new RegExp(`^HTTP/1\\.1 502 [\\s\\S]*${code}`));
    expect(((await gateway.ended()) as FlowError).code).toBe(code);
  });
});

/** A gateway that refuses as conduct does. */
function gatewayTo(originPort: number): Promise<Gateway> {
  const gateway = startGateway({
    originPort,
    handle: (flow, deps) => Promise.resolve(http.handle(flow, deps, null)),
    onError: (flow, deps, error) => http.refuse?.(flow, deps, { code: error.code, detail: error.detail, rule: null, status: null }) ?? Promise.resolve(),
  });
  return gateway.then((started) => {
    closers.push(() => started.close());
    return started;
  });
}
