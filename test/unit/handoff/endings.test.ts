import { once } from 'node:events';
import type { Socket } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { errorCodes, errorTable, FlowError } from '../../../src/core/errors.ts';
import type { ErrorCode } from '../../../src/core/errors.ts';
import type { Deps, Flow } from '../../../src/core/flow.ts';
import type { Session } from '../../../src/core/session.ts';
import { limitsWith } from '../../../src/core/limits.ts';
import { endUnanswered, leftAfterHandshake, orLeftWordless } from '../../../src/handoff/endings.ts';
import { alertNumbers } from '../../../src/tls/alerts.ts';
import { readClientHello } from '../../../src/tls/client-hello.ts';
import type { ClientHello } from '../../../src/tls/client-hello.ts';
import { helloBytes, helloFiles } from '../../support/client-hellos.ts';
import { readAll, socketPair } from '../../support/pair.ts';
import type { Pair } from '../../support/pair.ts';

const pairs: Pair[] = [];
afterEach(() => {
  for (const pair of pairs.splice(0)) pair.destroy();
});

function helloOf(file: string): ClientHello {
  const hello = readClientHello(helloBytes(file), limitsWith());
  if (typeof hello === 'string') throw new Error(hello);
  return hello;
}
const hello = helloOf(helloFiles.find((name) => name.startsWith('openssl-no')) ?? '');

async function flow(openedAtMs?: number): Promise<{ flow: Flow; near: Socket }> {
  const pair = await socketPair();
  pairs.push(pair);
  const made: Flow = {
    session: {} as Session, raw: pair.far, client: pair.far, upstream: null, depth: 0, insideTls: false, repliedBytes: 0, ...(openedAtMs === undefined ? {} : { openedAtMs }),
  };
  return { flow: made, near: pair.near };
}

describe('an unanswered client', () => {
  test.each(errorCodes.filter((code) => errorTable[code].stage !== 'dial'))('%s: one fatal alert, then the end', async (code) => {
    const { flow: ended, near } = await flow();
    endUnanswered(ended, hello, new FlowError(code));
    const bytes = await readAll(near);
    expect(bytes).toHaveLength(7);
    expect(bytes.subarray(0, 6).toString('hex')).toBe('150303000202');
    const expected: Partial<Record<ErrorCode, keyof typeof alertNumbers>> = {
      NO_COMMON_TLS: 'protocol_version', HELLO_MALFORMED: 'decode_error', HELLO_TOO_LARGE: 'record_overflow', CONNECTION_DENIED: 'access_denied',
      PROTOCOL_DENIED: 'access_denied', UPSTREAM_NOT_TLS: 'handshake_failure', UPSTREAM_CERT_EXPIRED: 'handshake_failure', MINT_FAILED: 'internal_error', INTERNAL: 'internal_error',
    };
    const name = expected[code];
    if (name !== undefined) expect(bytes[6]).toBe(alertNumbers[name]);
  });

  test.each(errorCodes.filter((code) => errorTable[code].stage === 'dial'))('%s: a reset, as from a server that cannot be reached', async (code) => {
    const { flow: ended, near } = await flow();
    endUnanswered(ended, hello, new FlowError(code));
    const [error] = await once(near, 'error') as [NodeJS.ErrnoException];
    expect(error.code).toBe('ECONNRESET');
  });

  test('nothing is said to who has left, or to whom the end was written already', async () => {
    const gone = await flow();
    gone.flow.raw.destroy();
    endUnanswered(gone.flow, hello, new FlowError('UPSTREAM_NOT_TLS'));
    const ended = await flow();
    ended.flow.raw.end('last words');
    endUnanswered(ended.flow, hello, new FlowError('IDLE_TIMEOUT'));
    expect((await readAll(ended.near)).toString()).toBe('last words');
    expect(ended.flow.raw.errored).toBeNull();
  });
});

describe('leaving after the handshake', () => {
  const deps = { limits: limitsWith({ clientSilentLeaveMs: 1_000 }) } as Deps;
  const alert = Object.assign(new Error('alert'), { code: 'ERR_SSL_TLSV1_ALERT_UNKNOWN_CA' });

  test.each([
    ['an alert about the certificate, however late', -5_000, new FlowError('RESET_BY_CLIENT', null, alert), 'CLIENT_REJECTED_CERT'],
    ['soon, with a FIN', -10, new FlowError('CLIENT_CLOSED_EARLY'), 'CLIENT_LEFT_SILENTLY'],
    ['soon, with a reset', -10, new FlowError('RESET_BY_CLIENT', null, new Error('ECONNRESET')), 'CLIENT_LEFT_SILENTLY'],
    ['later', -5_000, new FlowError('CLIENT_CLOSED_EARLY'), 'CLIENT_CLOSED_EARLY'],
    ['the server left', -10, new FlowError('RESET_BY_UPSTREAM'), 'RESET_BY_UPSTREAM'],
  ] as const)('%s', async (_name, openedMs, error, code) => {
    const opened = await flow(performance.now() + openedMs);
    expect(leftAfterHandshake(opened.flow, deps, error).code).toBe(code);
  });
});

describe('a client of HTTP/2 whose server spoke first', () => {
  const deps = { limits: limitsWith({ clientSilentLeaveMs: 200 }) } as Deps;
  const both = async (openedAtMs = performance.now()) => {
    const [client, upstream] = [await socketPair(), await socketPair()];
    pairs.push(client, upstream);
    const made: Flow = {
      session: { details: {} } as Session, raw: client.far, client: client.far, upstream: upstream.far, depth: 1, insideTls: true, repliedBytes: 0, openedAtMs,
    };
    for (const socket of [client.far, upstream.far]) socket.on('error', () => {}).resume();
    return { made, client, upstream };
  };
  const untilClosed = (socket: Socket): Promise<void> => new Promise((resolve) => void socket.once('close', () => resolve()));

  test('leaves without a word: it has refused the certificate, and the server is let go', async () => {
    const { made, client, upstream } = await both();
    const ran = orLeftWordless(made, deps, () => untilClosed(made.client));
    client.near.end();
    await expect(ran).rejects.toMatchObject({ code: 'CLIENT_LEFT_SILENTLY' });
    expect(upstream.far.destroyed).toBe(true);
  });

  test('the same by a reset', async () => {
    const { made, client } = await both();
    const ran = orLeftWordless(made, deps, async () => {
      await untilClosed(made.client);
      throw new FlowError('RESET_BY_CLIENT');
    });
    client.near.resetAndDestroy();
    await expect(ran).rejects.toMatchObject({ code: 'CLIENT_LEFT_SILENTLY' });
  });

  test('not when it said something, took its time, or the server left first', async () => {
    const spoke = await both();
    const ran = orLeftWordless(spoke.made, deps, async () => await once(spoke.made.client, 'end').then(() => 'done'));
    spoke.client.near.end('PRI');
    expect(await ran).toBe('done');

    const slow = await both(performance.now() - 1000);
    const late = orLeftWordless(slow.made, deps, async () => await untilClosed(slow.made.client).then(() => 'done'));
    slow.client.near.end();
    expect(await late).toBe('done');

    const left = await both();
    const upstreamFirst = orLeftWordless(left.made, deps, async () => {
      await once(left.upstream.far, 'end');
      left.client.near.end();
      return await untilClosed(left.made.client).then(() => 'done');
    });
    left.upstream.near.end();
    expect(await upstreamFirst).toBe('done');
  });

  test('other failures stay what they are', async () => {
    const { made } = await both();
    await expect(orLeftWordless(made, deps, () => Promise.reject(new FlowError('HTTP2_FLOOD')))).rejects.toMatchObject({ code: 'HTTP2_FLOOD' });
  });
});
