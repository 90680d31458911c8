import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { PassThrough } from 'node:stream';
import { connect, createServer } from 'node:tls';
import type { TLSSocket } from 'node:tls';
import { afterEach, describe, expect, test } from 'vitest';
import { Forwarder } from '../../../src/core/forwarder.ts';
import { issueServer, makeRoot } from '../../support/certs.ts';
import { portOf, readAll, socketPair } from '../../support/pair.ts';
import type { Pair } from '../../support/pair.ts';

const open: { destroy: () => void }[] = [];

afterEach(() => {
  for (const each of open.splice(0)) each.destroy();
});

async function pair(): Promise<Pair> {
  const made = await socketPair();
  open.push(made);
  return made;
}

function read(bytes: number): Buffer {
  return Buffer.from(new ArrayBuffer(bytes)).fill('x');
}

describe('a read is freed once it has left', () => {
  test('not before: while the other side does not read, its memory stays', async () => {
    const { near, far } = await pair();
    const forwarder = new Forwarder(new PassThrough(), near);
    const reads: Buffer[] = [];
    let room = true;
    while (room) {
      const bytes = read(65_536);
      reads.push(bytes);
      room = forwarder.write(bytes);
    }
    const last = reads.at(-1);
    await new Promise((resolve) => setImmediate(resolve));
    expect(last?.length).toBe(65_536);
    near.end();
    expect((await readAll(far)).length).toBe(reads.length * 65_536);
    expect(reads.map((bytes) => bytes.length)).toEqual(reads.map(() => 0));
  });

  test.each([
    ['small', () => read(4095)],
    ['a view of something larger', () => read(16_384).subarray(0, 8192)],
    ['of shared memory', () => Buffer.from(new SharedArrayBuffer(8192))],
  ])('not what is %s', async (_name, make) => {
    const { near, far } = await pair();
    const bytes = make();
    const { length } = bytes;
    new Forwarder(new PassThrough(), near).write(bytes);
    near.end();
    expect((await readAll(far)).length).toBe(length);
    expect(bytes.length).toBe(length);
  });

  test('not what had been given back to the source, and the next read is', async () => {
    const { near, far } = await pair();
    const source = new PassThrough();
    const peeked = read(8192);
    const next = read(8192);
    source.unshift(peeked);
    const forwarder = new Forwarder(source, near);
    forwarder.write(peeked);
    forwarder.write(next);
    near.end();
    await readAll(far);
    expect([peeked.length, next.length]).toEqual([8192, 0]);
  });

  test('not what was handed to the system when the socket fails', async () => {
    const { near, far } = await pair();
    const forwarder = new Forwarder(new PassThrough(), near);
    const reads: Buffer[] = [];
    near.on('error', () => {});
    for (let room = true; room;) {
      const bytes = read(65_536);
      reads.push(bytes);
      room = forwarder.write(bytes);
    }
    near.destroy();
    far.destroy();
    await once(near, 'close');
    expect(reads.at(-1)?.length).toBe(65_536);
  });
});

test('over TLS, with a reader that stops and goes, every byte arrives as it was', async () => {
  const site = issueServer(makeRoot('Forwarder root'), { names: ['site.test'] });
  const server = createServer({ key: site.keyPem, cert: site.chainPem });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const accepted = once(server, 'secureConnection') as Promise<[TLSSocket]>;
  const client = connect({ port: portOf(server), rejectUnauthorized: false });
  const [far] = await accepted;
  open.push(client, far, { destroy: () => void server.close() });
  const forwarder = new Forwarder(new PassThrough(), far);
  const [sent, received] = [createHash('sha256'), createHash('sha256')];
  client.on('data', (chunk: Buffer) => {
    received.update(chunk);
    client.pause();
    setImmediate(() => client.resume());
  });
  const kept: Buffer[] = [];
  for (let round = 0; round < 400; round += 1) {
    const bytes = Buffer.from(new Uint8Array(randomBytes(4096 + (round * 977) % 61_440)).buffer);
    sent.update(bytes);
    kept.push(bytes);
    if (!forwarder.write(bytes)) await once(far, 'drain');
  }
  far.end();
  await once(client, 'end');
  expect(received.digest('hex')).toBe(sent.digest('hex'));
  expect(kept.every((bytes) => bytes.length === 0)).toBe(true);
});
