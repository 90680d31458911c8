// Streams in hand-made frames that end with RST_STREAM NO_ERROR, before and after END_STREAM, through the bridge.

import http2 from 'node:http2';
import type { ClientHttp2Session, ServerHttp2Stream } from 'node:http2';
import net from 'node:net';
import type { Socket } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { exchangeHttp2 } from '../../../src/http/h2.ts';
import { connect, listen, startGateway, until } from './harness.ts';

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

const [data, headers, rst, settings] = [0, 1, 3, 4];
const [endStream, endHeaders] = [1, 4];

function frame(type: number, flags: number, stream: number, payload = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** content-length as a literal field of one-digit length (index 28 of the static table). */
const lengthField = (digits: string): Buffer => Buffer.concat([Buffer.from([0x0f, 0x0d, digits.length]), Buffer.from(digits)]);
const status200 = Buffer.from([0x88]);
/** POST, http, / and :authority of one letter. */
const post = Buffer.from('838684410161', 'hex');
const noError = frame(rst, 0, 1, Buffer.alloc(4));
const half = frame(data, 0, 1, Buffer.from('01234'));
const whole = frame(data, endStream, 1, Buffer.from('0123456789'));
const responseHead = (length: Buffer): Buffer => frame(headers, endHeaders, 1, Buffer.concat([status200, length]));
const requestHead = (length: Buffer): Buffer => frame(headers, endHeaders, 1, Buffer.concat([post, length]));
const lengths = [['with its length', lengthField('10')], ['without', Buffer.alloc(0)]] as const;

type OnFrame = (type: number, flags: number, payload: Buffer) => void;

/** Answers the first HEADERS with these frames; `onFrame` gets each frame of streams. */
async function rawOrigin(answer: readonly Buffer[], onFrame: OnFrame = () => {}): Promise<number> {
  const sockets: Socket[] = [];
  const server = net.createServer({ noDelay: true }, (socket) => {
    sockets.push(socket);
    socket.on('error', () => {});
    socket.write(frame(settings, 0, 0));
    // The client's preface ends where its first frame begins.
    let [received, skip, answered] = [Buffer.alloc(0), 24, false];
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      while (received.length >= skip + 9 && received.length >= skip + 9 + received.readUIntBE(skip, 3)) {
        const start = skip + 9;
        const end = start + received.readUIntBE(skip, 3);
        const [type = 0, flags = 0] = [received[skip + 3], received[skip + 4]];
        if (received.readUInt32BE(skip + 5) !== 0) onFrame(type, flags, received.subarray(start, end));
        if (type === headers && !answered) {
          answered = true;
          void drip(socket, answer);
        }
        received = received.subarray(end);
        skip = 0;
      }
    });
  });
  closers.push(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return await listen(server);
}

/** Writes pieces that arrive one by one. */
async function drip(socket: Socket, pieces: readonly Buffer[]): Promise<void> {
  for (const piece of pieces) {
    socket.write(piece);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function gatewayTo(port: number): Promise<number> {
  const gateway = await startGateway({ handle: exchangeHttp2, originPort: port });
  closers.push(() => gateway.close());
  return gateway.port;
}

function clientOf(port: number): ClientHttp2Session {
  const session = http2.connect('http://site.example', { createConnection: () => net.connect({ port, host: '127.0.0.1' }) });
  session.on('error', () => {});
  closers.push(() => session.destroy());
  return session;
}

interface Answer {
  readonly status: number;
  readonly body: string;
  readonly rst: number;
}

/** Asks; `slow` reads nothing until the server is through. */
function ask(session: ClientHttp2Session, method: string, slow: boolean): Promise<Answer> {
  const stream = session.request({ ':method': method }, { endStream: method !== 'POST' });
  let [status, body] = [0, ''];
  stream.on('error', () => {});
  if (method === 'POST') stream.write('the first of many');
  stream.on('response', (response) => (status = response[':status'] ?? 0));
  setTimeout(() => stream.on('data', (chunk: Buffer) => (body += chunk.toString())), slow ? 150 : 0);
  return new Promise((resolve) => stream.on('close', () => resolve({ status, body, rst: stream.rstCode })));
}

describe('a response', () => {
  for (const [told, length] of lengths) {
    for (const method of ['GET', 'POST']) {
      for (const slow of [false, true]) {
        const name = `${told}, to ${method}${slow ? ' of a slow client' : ''}`;
        // Without a length nobody can tell: Node's own servers end whole bodies so when the window is used up.
        if (length.length > 0) test(`that is cut in its middle by NO_ERROR is reset: ${name}`, async () => {
          for (const frames of [[Buffer.concat([responseHead(length), half, noError])], [responseHead(length), half, noError]]) {
            const answer = await ask(clientOf(await gatewayTo(await rawOrigin(frames))), method, slow);
            expect(answer.rst).toBe(http2.constants.NGHTTP2_INTERNAL_ERROR);
            expect('01234'.startsWith(answer.body)).toBe(true);
          }
        });

        test(`that is whole before NO_ERROR is whole: ${name}`, async () => {
          for (const frames of [[Buffer.concat([responseHead(length), whole, noError])], [responseHead(length), whole, noError]]) {
            expect(await ask(clientOf(await gatewayTo(await rawOrigin(frames))), method, slow)).toEqual({ status: 200, body: '0123456789', rst: 0 });
          }
        });
      }
    }
  }

  test('without a length that NO_ERROR ends is passed on as it is, and so is the head of a body that is not asked for', async () => {
    const pieces = [responseHead(Buffer.alloc(0)), half, noError];
    expect(await ask(clientOf(await gatewayTo(await rawOrigin(pieces))), 'GET', false)).toEqual({ status: 200, body: '01234', rst: 0 });
    const bare = [responseHead(lengthField('10')), noError];
    expect(await ask(clientOf(await gatewayTo(await rawOrigin(bare))), 'HEAD', false)).toEqual({ status: 200, body: '', rst: 0 });
  });

  test("of a server of Node's whose window is used up is whole, though it ends with NO_ERROR", async () => {
    const server = http2.createServer();
    server.on('stream', (stream: ServerHttp2Stream) => {
      stream.respond({ ':status': 200 });
      stream.write('x'.repeat(262_144), () => stream.end());
    });
    closers.push(() => server.close());
    const answer = await ask(clientOf(await gatewayTo(await listen(server as unknown as net.Server))), 'GET', true);
    expect([answer.body.length, answer.rst]).toEqual([262_144, 0]);
  });

  test('of which NO_ERROR came first, or right after its head, is reset', async () => {
    const head = responseHead(lengthField('10'));
    for (const frames of [[noError], [head, noError], [Buffer.concat([head, noError])]]) {
      for (const method of ['GET', 'POST']) {
        expect(await ask(clientOf(await gatewayTo(await rawOrigin(frames))), method, false)).toMatchObject({ body: '', rst: http2.constants.NGHTTP2_INTERNAL_ERROR });
      }
    }
  });
});

/** What goes out for a request in hand-made frames, answered with its head at once or never: its body, and how it ends. */
async function upload(pieces: readonly Buffer[], answers: boolean): Promise<{ body: string; end: string }> {
  let [body, end] = ['', ''];
  const origin = await rawOrigin(answers ? [responseHead(Buffer.alloc(0))] : [], (type, flags, payload) => {
    if (type === data) body += payload.toString();
    if (type === rst) end += `reset ${String(payload.readUInt32BE(0))} `;
    if (type < rst && (flags & endStream) !== 0) end += 'END_STREAM ';
  });
  const socket = await connect(await gatewayTo(origin));
  closers.push(() => socket.destroy());
  socket.resume();
  socket.write(Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), frame(settings, 0, 0)]));
  await drip(socket, pieces);
  await until(() => end !== '');
  await drip(socket, [Buffer.alloc(0)]);
  return { body, end: end.trim() };
}

describe('a request', () => {
  for (const [told, length] of lengths) {
    for (const answers of [false, true]) {
      test(`that is cut in its middle by NO_ERROR is reset: ${told}${answers ? ', answered at once' : ''}`, async () => {
        for (const pieces of [[Buffer.concat([requestHead(length), half, noError])], [requestHead(length), half, noError]]) {
          const { body, end } = await upload(pieces, answers);
          expect(['01234'.startsWith(body), end]).toEqual([true, `reset ${String(http2.constants.NGHTTP2_CANCEL)}`]);
        }
      });

      test(`that is here to its end before it is told is whole: ${told}${answers ? ', answered at once' : ''}`, async () => {
        for (const pieces of [[Buffer.concat([requestHead(length), whole])], [requestHead(length), whole]]) {
          expect(await upload(pieces, answers)).toEqual({ body: '0123456789', end: 'END_STREAM' });
        }
      });
    }
  }
});
