import { once } from 'node:events';
import { createServer, performServerHandshake } from 'node:http2';
import { connect } from 'node:net';
import { expect, test } from 'vitest';
import { limitsWith } from '../../../src/core/limits.ts';
import { exchangeHttp2 } from '../../../src/http/h2.ts';
import { calm, openUpstream, pseudoHeaders, serverOptions, startReading } from '../../../src/http/h2-session.ts';
import { portOf, readBytes, socketPair } from '../../support/pair.ts';
import { depsFor, sessionFor } from './harness.ts';

// Node 24 hands what a socket has buffered to a session piece by piece while the socket flows, and throws past all handlers when the
// session ends over the first piece: any client could end the process.
test('bytes that break the session, followed by more in the buffer, end the flow alone', async () => {
  const origin = createServer().listen(0, '127.0.0.1');
  origin.on('sessionError', () => {});
  await once(origin, 'listening');
  for (let run = 0; run < 3; run += 1) {
    const { near, far, destroy } = await socketPair();
    const upstream = connect(portOf(origin), '127.0.0.1');
    upstream.on('error', () => {});
    await once(upstream, 'connect');
    for (const piece of [Buffer.alloc(20_000, 'y'), Buffer.alloc(20_000, 'x'), Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nbroken')]) far.unshift(piece);
    const flow = { session: sessionFor(), raw: far, client: far, upstream, depth: 1, insideTls: false, repliedBytes: 0 };
    const outcome = exchangeHttp2(flow, depsFor({ limits: { lingerMs: 200 } })).catch((error: unknown) => error);
    near.resume();
    expect(await outcome).toMatchObject({ code: 'HTTP2_PROTOCOL' });
    destroy();
  }
  origin.close();
});

test('a session on a socket that was peeked at hears what was put back, what comes later, and the end', async () => {
  const { near, far, destroy } = await socketPair();
  near.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
  const head = await readBytes(far, 10);
  far.unshift(head);
  await calm(far);
  const session = performServerHandshake(far, serverOptions(depsFor(), false));
  startReading(far);
  near.resume();
  near.write(Buffer.from('000000040000000000', 'hex'));
  await once(session, 'remoteSettings');
  near.end();
  await once(session, 'close');
  destroy();
});

test('a server that stays silent is waited for as long as http2SettingsMs, one that closes is RESET_BY_UPSTREAM', async () => {
  const silent = await socketPair();
  const session = await openUpstream(silent.near, false, limitsWith({ http2SettingsMs: 30 }));
  expect(session.destroyed).toBe(false);
  session.destroy();
  silent.destroy();
  const leaving = await socketPair();
  leaving.far.on('error', () => {});
  leaving.far.destroy();
  await expect(openUpstream(leaving.near, false, limitsWith())).rejects.toMatchObject({ code: 'RESET_BY_UPSTREAM' });
  leaving.destroy();
});

test('what nghttp2 itself holds to follows the limits', () => {
  const options = serverOptions(depsFor({ limits: { http2StreamsMax: 7, httpHeadBytesMax: 4_096, httpHeadersMax: 20, http2ResetsPerSecondMax: 3 } }), true);
  expect(options).toMatchObject({ settings: { maxConcurrentStreams: 7, maxHeaderListSize: 4_096, enableConnectProtocol: true }, maxHeaderListPairs: 20 + pseudoHeaders, streamResetRate: 3 });
});
