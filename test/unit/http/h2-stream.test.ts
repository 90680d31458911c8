import http2 from 'node:http2';
import type { ClientHttp2Session, IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import type net from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { limitsWith } from '../../../src/core/limits.ts';
import { bridgeStream, refuseStream } from '../../../src/http/h2-stream.ts';
import type { StreamEnd } from '../../../src/http/h2-stream.ts';
import { listen } from './harness.ts';

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

type OnStream = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, flags: number, raw: string[]) => void;

async function sessionTo(onStream: OnStream): Promise<ClientHttp2Session> {
  const server = http2.createServer();
  server.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, flags: number, raw: string[] = []) => onStream(stream, headers, flags, raw));
  const session = http2.connect(`http://127.0.0.1:${String(await listen(server as unknown as net.Server))}`);
  session.on('error', () => {});
  closers.push(() => session.destroy(), () => server.close());
  return session;
}

function statusAndBody(session: ClientHttp2Session, headers: http2.OutgoingHttpHeaders): Promise<[number, string, number]> {
  const stream = session.request(headers);
  let status = 0;
  let body = '';
  stream.on('response', (response) => (status = response[':status'] ?? 0));
  stream.on('data', (chunk: Buffer) => (body += chunk.toString()));
  stream.on('error', () => {});
  return new Promise((resolve) => stream.on('close', () => resolve([status, body, stream.rstCode])));
}

test('a refusal is a whole page, without body for HEAD', async () => {
  const session = await sessionTo((stream, headers) => refuseStream(stream, headers, { code: 'REQUEST_DENIED', detail: null, rule: 'http/1', status: null }));
  expect(await statusAndBody(session, {})).toEqual([403, expect.stringContaining('Rule: http/1'), 0]);
  expect(await statusAndBody(session, { ':method': 'HEAD' })).toEqual([403, '', 0]);
});

test('a bridged request tells once how it ended', async () => {
  const upstream = await sessionTo((stream, headers) => {
    stream.on('error', () => {});
    if (headers[':path'] === '/hang') return;
    stream.respond({ ':status': 204 }, { endStream: true });
  });
  const ends: StreamEnd[] = [];
  const session = await sessionTo((stream, headers, flags, rawHeaders) => {
    bridgeStream({ stream, headers, rawHeaders, endsWithHead: (flags & 1) !== 0 }, upstream, limitsWith(), (end) => ends.push(end));
  });
  expect(await statusAndBody(session, {})).toEqual([204, '', 0]);
  const hanging = session.request({ ':path': '/hang' });
  hanging.on('error', () => {});
  setTimeout(() => hanging.close(http2.constants.NGHTTP2_CANCEL), 30);
  await expect.poll(() => ends).toEqual([
    { status: 204, resetByClient: false, fromClientBytes: 0, toClientBytes: 0 }, { status: 0, resetByClient: true, fromClientBytes: 0, toClientBytes: 0 },
  ]);
});

test('a request for a server that is leaving may be asked again', async () => {
  const upstream = await sessionTo((stream) => stream.respond({ ':status': 204 }, { endStream: true }));
  const ends: StreamEnd[] = [];
  const session = await sessionTo((stream, headers, flags, rawHeaders) => {
    upstream.close();
    bridgeStream({ stream, headers, rawHeaders, endsWithHead: (flags & 1) !== 0 }, upstream, limitsWith(), (end) => ends.push(end));
  });
  const [status, , code] = await statusAndBody(session, {});
  expect([status, code]).toEqual([0, http2.constants.NGHTTP2_REFUSED_STREAM]);
  await expect.poll(() => ends).toMatchObject([{ status: 0, resetByClient: false }]);
});
