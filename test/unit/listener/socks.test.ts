import type { Socket } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { FlowError } from '../../../src/core/errors.ts';
import type { ErrorCode } from '../../../src/core/errors.ts';
import type { EntryDeps, Flow } from '../../../src/core/flow.ts';
import type { Session } from '../../../src/core/session.ts';
import { limitsWith } from '../../../src/core/limits.ts';
import { socksEntry } from '../../../src/listener/socks.ts';
import type { PasswordCheck } from '../../../src/listener/socks.ts';
import { readAll, readBytes, socketPair } from '../../support/pair.ts';
import type { Pair } from '../../support/pair.ts';

const pairs: Pair[] = [];
afterEach(() => {
  for (const pair of pairs.splice(0)) pair.destroy();
});

interface Entered {
  readonly near: Socket;
  readonly flow: Flow;
  readonly session: Session;
  /** `done`, the flow that goes on, or the code. */
  readonly outcome: Promise<'done' | Flow | string>;
  readonly dials: Session[];
}

interface Choices {
  readonly check?: PasswordCheck;
  readonly deny?: boolean;
  readonly dial?: ErrorCode;
  readonly revocationHost?: string;
}

/** The entry on a real socket; the two seams behind it (policy, dial) answer as the test says. */
async function entered(choices: Choices = {}): Promise<Entered> {
  const pair = await socketPair();
  pairs.push(pair);
  const dials: Session[] = [];
  const session = { chain: [], destination: { ip: null, port: 0, host: null }, user: null, action: null, rule: null } as unknown as Session;
  const deps = {
    limits: limitsWith({ socksMs: 300 }),
    policy: { connection: () => ({ action: choices.deny === true ? 'deny' : 'allow', rule: 'connection/1', detect: { off: new Set(), on: new Set() } }) },
    meter: { add() {}, set() {}, observe() {} },
    revocation: { isHost: (host: string) => host === choices.revocationHost },
    dialEarly: (dialled: Session) => {
      dials.push(dialled);
      return choices.dial === undefined ? Promise.resolve(pair.far) : Promise.reject(new FlowError(choices.dial));
    },
  } as unknown as EntryDeps;
  const flow: Flow = { session, raw: pair.far, client: pair.far, upstream: null, depth: 0, insideTls: false, repliedBytes: 0 };
  const outcome = socksEntry(choices.check ?? null).enter(flow, deps).catch((error: unknown) => (error instanceof FlowError ? error.code : String(error)));
  return { near: pair.near, flow, session, outcome, dials };
}

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');
const v5 = hex('05 01 00');
const v5request = hex('05 01 00 01 c0000201 01bb');
const v5named = Buffer.concat([hex('05 01 00 03 09'), Buffer.from('site.test'), hex('01bb')]);
const v4 = hex('04 01 01bb c0000201 00');
const v4a = Buffer.concat([hex('04 01 01bb 00000001 00'), Buffer.from('site.test\0')]);
const granted5 = '05000001000000000000';

describe.each([
  ['4', v4, '005a000000000000', { ip: '192.0.2.1', host: null, port: 443 }],
  ['4a', v4a, '005a000000000000', { ip: null, host: 'site.test', port: 443 }],
  ['5, address', Buffer.concat([v5, v5request]), `0500${granted5}`, { ip: '192.0.2.1', host: null, port: 443 }],
  ['5, name', Buffer.concat([v5, v5named]), `0500${granted5}`, { ip: null, host: 'site.test', port: 443 }],
] as const)('version %s', (_version, bytes, answer, destination) => {
  test('is served at every split; what follows is left for the next reader', async () => {
    for (let at = 1; at <= bytes.length; at += 1) {
      const { near, flow, session, outcome, dials } = await entered();
      near.setNoDelay(true);
      near.write(bytes.subarray(0, at));
      await new Promise((resolve) => setTimeout(resolve, 2));
      near.write(Buffer.concat([bytes.subarray(at), Buffer.from('inside')]));
      const inner = await outcome;
      if (typeof inner === 'string') throw new Error(inner);
      expect((await readBytes(near, answer.length / 2)).toString('hex')).toBe(answer);
      expect((await readBytes(flow.raw, 6)).toString()).toBe('inside');
      expect(session.destination).toEqual(destination);
      expect([session.chain, dials.length, inner.repliedBytes]).toEqual([['socks'], 1, answer.length / 2]);
    }
  });

  test('a half-close after the request is no end', async () => {
    const { near, flow, outcome } = await entered();
    near.end(Buffer.concat([bytes, Buffer.from('all')]));
    expect(typeof await outcome).toBe('object');
    expect((await readAll(flow.raw)).toString()).toBe('all');
  });
});

test('what a client of SOCKS 4 calls itself makes no user', async () => {
  const { near, session, outcome } = await entered();
  near.write(hex('04 01 01bb c0000201 726f6f7400'));
  expect(typeof await outcome).toBe('object');
  expect(session.user).toBeNull();
});

describe('user and password', () => {
  const check: PasswordCheck = (user, password) => Promise.resolve(user === 'anna' && password === 'right');
  const login = (password: string): Buffer => Buffer.concat([hex('01 04'), Buffer.from('anna'), Buffer.from([password.length]), Buffer.from(password)]);

  test('the right ones', async () => {
    const { near, session, outcome } = await entered({ check });
    near.write(Buffer.concat([hex('05 02 00 02'), login('right'), v5request]));
    expect(typeof await outcome).toBe('object');
    expect((await readBytes(near, 14)).toString('hex')).toBe(`05020100${granted5}`);
    expect(session.user).toBe('anna');
  });

  test('wrong ones, none offered, and version 4, which has none', async () => {
    const wrong = await entered({ check });
    wrong.near.write(Buffer.concat([hex('05 01 02'), login('wrong')]));
    expect(await wrong.outcome).toBe('AUTH_REQUIRED');
    expect((await readAll(wrong.near)).toString('hex')).toBe('05020101');
    const none = await entered({ check });
    none.near.write(v5);
    expect(await none.outcome).toBe('AUTH_REQUIRED');
    expect((await readAll(none.near)).toString('hex')).toBe('05ff');
    const old = await entered({ check });
    old.near.write(v4);
    expect(await old.outcome).toBe('AUTH_REQUIRED');
    expect((await readAll(old.near)).toString('hex')).toBe('005b000000000000');
    expect([wrong.dials, none.dials, old.dials].flat()).toEqual([]);
  });
});

describe('refusals', () => {
  test.each([
    ['DIAL_REFUSED', '05'], ['DNS_FAILED', '04'], ['DIAL_TIMEOUT', '06'], ['DIAL_UNREACHABLE', '03'], ['DIAL_LOOP', '02'], ['INTERNAL', '01'],
  ] as const)('%s is reply %s, and version 4 is told too', async (dial, reply) => {
    const five = await entered({ dial });
    five.near.write(Buffer.concat([v5, v5request]));
    expect(await five.outcome).toBe(dial);
    expect((await readAll(five.near)).toString('hex')).toBe(`050005${reply}0001000000000000`);
    const four = await entered({ dial });
    four.near.write(v4);
    expect(await four.outcome).toBe(dial);
    expect((await readAll(four.near)).toString('hex')).toBe('005b000000000000');
  });

  test('policy', async () => {
    const { near, session, outcome, dials } = await entered({ deny: true });
    near.write(Buffer.concat([v5, v5request]));
    expect(await outcome).toBe('CONNECTION_DENIED');
    expect((await readAll(near)).toString('hex')).toBe('050005020001000000000000');
    expect([session.action, session.rule, dials.length]).toEqual(['deny', 'connection/1', 0]);
  });

  test.each([
    ['BIND of version 5', Buffer.concat([v5, hex('05 02 00 01 c0000201 01bb')]), '050005070001000000000000'],
    ['BIND of version 4', hex('04 02 01bb c0000201 00'), '005b000000000000'],
    ['an unknown address type', Buffer.concat([v5, hex('05 01 00 09')]), '050005010001000000000000'],
    ['not SOCKS', Buffer.from('GET / HTTP/1.1\r\n'), null],
  ])('%s: SOCKS_MALFORMED', async (_name, bytes, answer) => {
    const { near, flow, outcome, dials } = await entered();
    near.write(bytes);
    expect(await outcome).toBe('SOCKS_MALFORMED');
    expect(dials).toEqual([]);
    if (answer === null) expect(flow.raw.bytesWritten).toBe(0);
    else expect((await readAll(near)).toString('hex')).toBe(answer);
  });

  test('a client that stops in the middle, leaves, or was gone before', async () => {
    const stalled = await entered();
    stalled.near.write(hex('05 02 00'));
    expect(await stalled.outcome).toBe('FIRST_BYTES_STALLED');
    const left = await entered();
    left.near.end(hex('05'));
    expect(await left.outcome).toBe('CLIENT_CLOSED_EARLY');
    const gone = await entered({ check: async () => {
      gone.flow.raw.destroy();
      return await Promise.resolve(true);
    } });
    gone.near.write(hex('05 01 02 01 00 00'));
    const startedAt = performance.now();
    expect(await gone.outcome).toBe('CLIENT_CLOSED_EARLY');
    expect(performance.now() - startedAt).toBeLessThan(250);
  });
});

test('the revocation host is served by the gateway itself: nothing is dialled for it', async () => {
  const { near, outcome, dials } = await entered({ revocationHost: 'site.test:443' });
  near.write(v4a);
  expect(typeof await outcome).toBe('object');
  expect(dials).toEqual([]);
});
