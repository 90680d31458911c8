import { connect, createServer } from 'node:net';
import type { Socket } from 'node:net';
import { once } from 'node:events';
import { expect, test } from 'vitest';
import { Peek } from '../../../src/listener/peek.ts';

/** Runs `serve` on the server's end of a real connection; `client` is the other end. */
async function connection(serve: (socket: Socket) => void): Promise<{ client: Socket; close: () => void }> {
  const server = createServer({ allowHalfOpen: true }, serve).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const client = connect({ port: typeof address === 'object' && address !== null ? address.port : 0, allowHalfOpen: true });
  await once(client, 'connect');
  return { client, close: () => { client.destroy(); server.close(); } };
}

async function all(stream: Socket): Promise<string> {
  const chunks: Buffer[] = [];
  stream.on('data', (chunk: Buffer) => chunks.push(chunk)).resume();
  if (!stream.readableEnded) await once(stream, 'end');
  return Buffer.concat(chunks).toString();
}

test.each([
  ['FIN with the bytes', 0, 0],
  ['FIN long after the bytes', 0, 40],
  ['peek begins after bytes and FIN are there', 40, 0],
])('bytes and FIN survive a peek: %s', async (_name, attachAfterMs, finAfterMs) => {
  const seen = Promise.withResolvers<string>();
  const { client, close } = await connection((socket) => {
    setTimeout(() => {
      const peek: Peek = new Peek(socket, () => {
        if (!peek.ended) return;
        expect(peek.bytes.toString()).toBe('hello');
        peek.release();
        void all(socket).then(seen.resolve);
      });
    }, attachAfterMs);
  });
  client.write('hello');
  setTimeout(() => client.end(), finAfterMs);
  expect(await seen.promise).toBe('hello');
  close();
});

test('bytes that arrive in pieces are shown in order and given back once', async () => {
  const seen = Promise.withResolvers<string>();
  const shown: string[] = [];
  const { client, close } = await connection((socket) => {
    const peek: Peek = new Peek(socket, () => {
      shown.push(peek.bytes.toString());
      if (peek.bytes.length < 6) return;
      peek.release();
      void all(socket).then(seen.resolve);
    });
  });
  client.setNoDelay(true);
  for (const part of ['ab', 'cd', 'ef']) {
    client.write(part);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  client.end('gh');
  expect(await seen.promise).toBe('abcdefgh');
  expect(shown.at(-1)).toBe('abcdef');
  close();
});

test('a reset is an error of the peek', async () => {
  const failed = Promise.withResolvers<Error>();
  const { client, close } = await connection((socket) => {
    const peek: Peek = new Peek(socket, () => {
      if (peek.error !== null) failed.resolve(peek.error);
    });
  });
  client.write('x');
  setTimeout(() => client.resetAndDestroy(), 20);
  expect(await failed.promise).toBeInstanceOf(Error);
  close();
});

test('nothing but a FIN: ended with no bytes', async () => {
  const done = Promise.withResolvers<number>();
  const { client, close } = await connection((socket) => {
    const peek: Peek = new Peek(socket, () => {
      if (peek.ended) done.resolve(peek.bytes.length);
    });
  });
  client.end();
  expect(await done.promise).toBe(0);
  close();
});

test('beyond its bound nothing is taken: the stream\'s own buffer and back-pressure hold the rest, and not a byte is lost', async () => {
  const done = Promise.withResolvers<Buffer>();
  const much = Buffer.alloc(8 << 20, 'x');
  const { client, close } = await connection((socket) => {
    const peek = new Peek(socket, () => {}, 1_000);
    setTimeout(() => {
      expect(peek.bytes.length).toBeGreaterThanOrEqual(1_000);
      expect(peek.bytes.length).toBeLessThan(1_000 + 128 * 1024);
      expect(socket.bytesRead).toBeLessThan(512 * 1024);
      expect(peek.ended).toBe(false);
      peek.release();
      void all(socket).then((text) => done.resolve(Buffer.from(text)));
    }, 100);
  });
  client.end(much);
  expect((await done.promise).equals(much)).toBe(true);
  close();
});

test('a stream that was destroyed before shows why', async () => {
  const reason = Promise.withResolvers<Error | null>();
  const { close } = await connection((socket) => {
    socket.on('error', () => {});
    socket.destroy(new Error('refused'));
    reason.resolve(new Peek(socket, () => {}).error);
  });
  expect(await reason.promise).toMatchObject({ message: 'refused' });
  close();
});
