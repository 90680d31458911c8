import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, performServerHandshake } from 'node:http2';
import type { ClientHttp2Stream, ServerHttp2Stream } from 'node:http2';
import { describe, expect, it } from 'vitest';
import { seenSocket } from '../../../src/http/seen-socket.ts';
import { readAll, socketPair } from '../../support/pair.ts';

describe('a socket whose bytes pass through its stream', () => {
  it('carries an HTTP/2 session both ways, and every byte is seen', async () => {
    const { near, far, destroy } = await socketPair();
    let [heard, said] = [0, 0];
    const push = far.push.bind(far);
    far.push = (chunk: unknown, encoding?: BufferEncoding) => {
      if (Buffer.isBuffer(chunk)) heard += chunk.length;
      return push(chunk, encoding);
    };
    const write = far._write.bind(far);
    far._write = (chunk: unknown, encoding, done) => {
      if (Buffer.isBuffer(chunk)) said += chunk.length;
      write(chunk, encoding, done);
    };
    const writev = far._writev?.bind(far);
    far._writev = (chunks: { chunk: unknown; encoding: BufferEncoding }[], done) => {
      for (const { chunk } of chunks) if (Buffer.isBuffer(chunk)) said += chunk.length;
      writev?.(chunks, done);
    };
    const server = performServerHandshake(seenSocket(far));
    server.on('stream', (stream: ServerHttp2Stream) => {
      stream.respond({ ':status': 200 });
      stream.pipe(stream);
    });
    far.resume();
    const client = connect('http://x.test', { createConnection: () => near });
    const body = randomBytes(2_000_000);
    const echo = async (): Promise<Buffer> => {
      const request: ClientHttp2Stream = client.request({ ':method': 'POST' });
      request.end(body);
      return await readAll(request);
    };
    for (const answer of await Promise.all([echo(), echo()])) expect(answer.equals(body)).toBe(true);
    client.close();
    await once(far, 'close');
    expect([heard, said]).toEqual([far.bytesRead, far.bytesWritten]);
    expect(heard).toBeGreaterThan(2 * body.length);
    destroy();
  });

  it('ends with its socket, and its socket with it', async () => {
    const first = await socketPair();
    const stream = seenSocket(first.far);
    const failure = new Promise((resolve) => stream.on('error', resolve));
    first.far.resume();
    first.near.resetAndDestroy();
    expect(await failure).toMatchObject({ code: 'ECONNRESET' });
    await expect.poll(() => stream.closed).toBe(true);
    const second = await socketPair();
    const other = seenSocket(second.far);
    other.destroy();
    await once(second.near.resume(), 'end');
    second.destroy();
  });

  it('holds up its socket when nobody reads', async () => {
    const { near, far, destroy } = await socketPair();
    const stream = seenSocket(far);
    stream.on('error', () => undefined);
    far.resume();
    for (let count = 0; count < 200; count += 1) near.write(Buffer.alloc(65_536));
    await expect.poll(() => far.isPaused()).toBe(true);
    const before = far.bytesRead;
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(far.bytesRead).toBe(before);
    near.end();
    let total = 0;
    for await (const chunk of stream) total += Buffer.isBuffer(chunk) ? chunk.length : 0;
    expect(total).toBe(200 * 65_536);
    destroy();
  });
});
