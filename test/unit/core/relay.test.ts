import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { afterEach, describe, expect, test } from 'vitest';
import { FlowError } from '../../../src/core/errors.ts';
import { watchedCount } from '../../../src/core/idle.ts';
import { relay } from '../../../src/core/relay.ts';
import type { Judgement, RelayOptions, Tap } from '../../../src/core/relay.ts';
import { readAll, readBytes, socketPair } from '../../support/pair.ts';
import type { Pair } from '../../support/pair.ts';

const options: RelayOptions = { idleMs: 60_000, halfOpenMs: 5_000, injectBytesMax: 1024 };
const open: Pair[] = [];

/** client <-> [relay] <-> server, all real sockets. */
async function relayed(extra: Partial<RelayOptions> = {}): Promise<{ client: Pair['near']; server: Pair['near']; inner: Pair['near']; done: Promise<unknown> }> {
  const [left, right] = [await socketPair(), await socketPair()];
  open.push(left, right);
  const done = relay(left.far, right.near, { ...options, ...extra }).then(() => null, (error: unknown) => error);
  return { client: left.near, server: right.far, inner: right.near, done };
}

afterEach(() => {
  for (const pair of open.splice(0)) pair.destroy();
});

test('bytes pass both ways and both ends close in order', async () => {
  const { client, server, done } = await relayed();
  client.end('question');
  expect((await readAll(server)).toString()).toBe('question');
  server.end('answer');
  expect((await readAll(client)).toString()).toBe('answer');
  expect(await done).toBeNull();
  expect(watchedCount()).toBe(0);
});

test('half-close: the other direction goes on after one has ended', async () => {
  const { client, server, done } = await relayed();
  client.end('only this');
  await readAll(server);
  for (let part = 0; part < 5; part += 1) {
    server.write(`part ${String(part)};`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  server.end();
  expect((await readAll(client)).toString()).toBe('part 0;part 1;part 2;part 3;part 4;');
  expect(await done).toBeNull();
});

test('32 MiB with a slow reader arrive intact and are not piled up', async () => {
  const { client, server, inner, done } = await relayed();
  const block = randomBytes(1 << 20);
  const sent = createHash('sha256');
  const received = createHash('sha256');
  let queuedMost = 0;
  server.on('data', (chunk: Buffer) => {
    received.update(chunk);
    queuedMost = Math.max(queuedMost, inner.writableLength);
    server.pause();
    setTimeout(() => server.resume(), 0);
  });
  for (let count = 0; count < 32; count += 1) {
    sent.update(block);
    if (!client.write(block)) await once(client, 'drain');
  }
  client.end();
  await once(server, 'end');
  server.end();
  await done;
  expect(received.digest('hex')).toBe(sent.digest('hex'));
  expect(queuedMost).toBeLessThan(512 * 1024);
});

test('bytes unshifted before the relay come first', async () => {
  const [left, right] = [await socketPair(), await socketPair()];
  open.push(left, right);
  left.near.write('hello world');
  const head = await readBytes(left.far, 5);
  left.far.unshift(head);
  const done = relay(left.far, right.near, options);
  left.near.end();
  expect((await readAll(right.far)).toString()).toBe('hello world');
  right.far.end();
  await done;
});

test.each([
  ['client', 'RESET_BY_CLIENT'],
  ['server', 'RESET_BY_UPSTREAM'],
] as const)('a reset by the %s is %s and is passed on as a reset', async (who, code) => {
  const { client, server, done } = await relayed();
  client.write('x');
  await readBytes(server, 1);
  const [actor, other] = who === 'client' ? [client, server] : [server, client];
  const failed = once(other, 'error') as Promise<[NodeJS.ErrnoException]>;
  other.resume();
  actor.resetAndDestroy();
  expect(await done).toMatchObject({ code });
  expect((await failed)[0].code).toBe('ECONNRESET');
});

test('silence ends with IDLE_TIMEOUT, silence after a FIN is an orderly end', async () => {
  const silent = await relayed({ idleMs: 1000 });
  expect(await silent.done).toMatchObject({ code: 'IDLE_TIMEOUT' });
  const halfOpen = await relayed({ halfOpenMs: 1000 });
  halfOpen.client.end();
  halfOpen.server.resume();
  expect(await halfOpen.done).toBeNull();
});

test('a socket destroyed with a FlowError ends the relay with that error', async () => {
  const [left, right] = [await socketPair(), await socketPair()];
  open.push(left, right);
  const done = relay(left.far, right.near, options).then(() => null, (error: unknown) => error);
  left.far.destroy(new FlowError('KILLED_BY_OPERATOR'));
  expect(await done).toMatchObject({ code: 'KILLED_BY_OPERATOR' });
});

/** Frames of one length byte and so many bytes; a frame starting with `!` is answered and dropped, one with `#` closes. */
class LengthTap implements Tap {
  readonly retainsChunks = false;
  #left = 0;
  #held: Buffer = Buffer.alloc(0);

  get betweenFrames(): boolean {
    return this.#left === 0;
  }

  push(chunk: Buffer): Judgement {
    let bytes = Buffer.concat([this.#held, chunk]);
    this.#held = Buffer.alloc(0);
    const forward: Buffer[] = [];
    const answer: Buffer[] = [];
    let boundary = -1;
    let close: FlowError | null = null;
    let size = 0;
    const pass = (part: Buffer): void => { forward.push(part); size += part.length; };
    while (bytes.length > 0) {
      if (this.#left > 0) {
        const part = bytes.subarray(0, this.#left);
        this.#left -= part.length;
        pass(part);
        bytes = bytes.subarray(part.length);
        if (this.#left === 0) boundary = size;
        continue;
      }
      const length = bytes[0] ?? 0;
      if (bytes.length < 2) { this.#held = bytes; break; }
      if (bytes[1] === 0x21) {
        if (bytes.length < 1 + length) { this.#held = bytes; break; }
        answer.push(Buffer.from([2, 0x6e, 0x6f]));
        bytes = bytes.subarray(1 + length);
      } else if (bytes[1] === 0x23) {
        close = new FlowError('REQUEST_DENIED');
        break;
      } else {
        this.#left = length;
        pass(bytes.subarray(0, 1));
        bytes = bytes.subarray(1);
      }
    }
    return { forward: forward.length === 0 ? null : Buffer.concat(forward), boundary, answer: answer.length === 0 ? null : Buffer.concat(answer), close };
  }

  end(): Buffer | null {
    return this.#held.length === 0 ? null : this.#held;
  }
}

const frame = (text: string): Buffer => Buffer.concat([Buffer.from([text.length]), Buffer.from(text)]);

describe('taps', () => {
  test('a tap drops and answers a frame, others pass', async () => {
    const { client, server, done } = await relayed({ clientTap: new LengthTap(), upstreamTap: new LengthTap() });
    client.write(Buffer.concat([frame('one'), frame('!two'), frame('three')]));
    expect((await readBytes(client, 3)).toString()).toBe('\u0002no');
    client.end();
    expect(await readAll(server)).toEqual(Buffer.concat([frame('one'), frame('three')]));
    server.end();
    expect(await done).toBeNull();
  });

  test('an answer waits for the gap between two frames of the other direction', async () => {
    const { client, server } = await relayed({ clientTap: new LengthTap(), upstreamTap: new LengthTap() });
    const long = frame('a'.repeat(100));
    server.write(long.subarray(0, 50));
    expect(await readBytes(client, 50)).toEqual(long.subarray(0, 50));
    client.write(frame('!no'));
    await new Promise((resolve) => setTimeout(resolve, 30));
    server.write(Buffer.concat([long.subarray(50), frame('next').subarray(0, 2)]));
    expect(await readBytes(client, 51 + 3 + 2)).toEqual(Buffer.concat([long.subarray(50), Buffer.from('\u0002no'), frame('next').subarray(0, 2)]));
  });

  test('answers that find no gap are bounded', async () => {
    const { client, server, done } = await relayed({ clientTap: new LengthTap(), upstreamTap: new LengthTap(), injectBytesMax: 10 });
    server.write(frame('a'.repeat(100)).subarray(0, 50));
    await readBytes(client, 50);
    for (let count = 0; count < 4; count += 1) client.write(frame('!x'));
    expect(await done).toMatchObject({ code: 'REQUEST_DENIED' });
  });

  test('a tap closes the flow after what it let through', async () => {
    const { client, server, done } = await relayed({ clientTap: new LengthTap() });
    client.write(Buffer.concat([frame('last'), frame('#')]));
    const seen = readAll(server);
    expect(await done).toMatchObject({ code: 'REQUEST_DENIED' });
    expect(await seen).toEqual(frame('last'));
  });

  test('bytes a tap still holds at the end are passed on', async () => {
    const { client, server } = await relayed({ clientTap: new LengthTap() });
    client.end(Buffer.from([9]));
    expect(await readAll(server)).toEqual(Buffer.from([9]));
  });
});

describe('sockets that are gone before the relay begins', () => {
  test.each([['client', 'RESET_BY_CLIENT'], ['upstream', 'RESET_BY_UPSTREAM']] as const)('%s: the relay ends at once, and so does the other', async (which, code) => {
    const [left, right] = [await socketPair(), await socketPair()];
    open.push(left, right);
    const gone = which === 'client' ? left.far : right.near;
    const closed = once(gone, 'close');
    gone.destroy();
    await closed;
    await expect(relay(left.far, right.near, options)).rejects.toMatchObject({ code });
    expect([left.far.destroyed, right.near.destroyed]).toEqual([true, true]);
    expect(watchedCount()).toBe(0);
  });

  test('with a FlowError: that is what the relay ends with', async () => {
    const [left, right] = [await socketPair(), await socketPair()];
    open.push(left, right);
    const closed = new Promise((resolve) => left.far.once('close', resolve));
    left.far.destroy(new FlowError('KILLED_BY_OPERATOR'));
    await closed;
    await expect(relay(left.far, right.near, options)).rejects.toMatchObject({ code: 'KILLED_BY_OPERATOR' });
  });
});

test('after the end nothing is shown to a tap or written behind the last words, which still arrive', async () => {
  const shown: string[] = [];
  const refusing: Tap = {
    retainsChunks: false,
    push(chunk): Judgement {
      shown.push(chunk.toString());
      return { forward: null, boundary: -1, answer: Buffer.from('403 no'), close: new FlowError('REQUEST_DENIED') };
    },
    end: () => null,
    betweenFrames: true,
  };
  const { client, server, done } = await relayed({ clientTap: refusing });
  const words = readAll(client);
  client.write('forbidden');
  expect(await done).toMatchObject({ code: 'REQUEST_DENIED' });
  for (let more = 0; more < 5; more += 1) {
    client.write('more');
    server.write('late answer');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  expect((await words).toString()).toBe('403 no');
  expect(shown).toEqual(['forbidden']);
});
