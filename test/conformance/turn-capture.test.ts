// The libnice capture: every message as its notes say, MESSAGE-INTEGRITY of both sides, and each connection through the taps at
// every split point with the same details and the same bytes.

import { describe, expect, it } from 'vitest';
import { attributeOf, checkIntegrity, decodeMessage, longTermKey } from '../../src/turn/codec.ts';
import { readMsServerHello } from '../../src/turn/hello.ts';
import { msAttributes } from '../../src/turn/names.ts';
import { TurnObserver } from '../../src/turn/observer.ts';
import { turnTaps } from '../../src/turn/tap.ts';
import type { TurnTap } from '../../src/turn/tap.ts';
import { captureLogin, captureSections, streamOf, turnDeps, turnSession } from '../unit/turn/support.ts';
import type { CaptureSection } from '../unit/turn/support.ts';

const sections = captureSections();
const section = (number: number): CaptureSection => {
  const found = sections[number - 1];
  if (found === undefined) throw new Error(`no section ${number}`);
  return found;
};

/** Control messages of one direction, cut by hand: pseudo hello, then 4-byte frame heads. */
function messagesOf(stream: Buffer): Buffer[] {
  const messages: Buffer[] = [];
  let at = stream[0] === 0x16 ? 5 + stream.readUInt16BE(3) : 0;
  for (; at < stream.length; at += 4 + stream.readUInt16BE(at + 2)) {
    if (stream[at] === 0x02) messages.push(stream.subarray(at + 4, at + 4 + stream.readUInt16BE(at + 2)));
  }
  return messages;
}

describe('messages as the capture notes them', () => {
  it.each([1, 2, 4])('section %i: types, lengths, transactions and every attribute of the client', (number) => {
    const { notes } = section(number);
    const seen = messagesOf(streamOf(section(number), 'client')).map((bytes) => {
      const message = decodeMessage(bytes, 'ms');
      return {
        type: message?.type, length: bytes.length - 20, transaction: message?.transaction.toString('hex'), whole: message?.whole,
        attributes: message?.attributes.map(({ type, value }) => `${type.toString(16).padStart(4, '0')} ${value.length} ${value.toString('hex')}`),
      };
    });
    expect(seen).toEqual(notes.map((note) => ({ ...note, whole: true })));
    expect(seen).toHaveLength(4);
  });

  it.each([1, 2, 4])('section %i: MESSAGE-INTEGRITY of requests and of the signed response', (number) => {
    const realm = number === 2 ? 'rtcmedia.local' : 'rtcmedia';
    const key = longTermKey(captureLogin.user, realm, captureLogin.password);
    const results = ['client', 'server'].map((from) => messagesOf(streamOf(section(number), from === 'client' ? 'client' : 'server')).map((bytes) => checkIntegrity(bytes, 'ms', key)));
    // First Allocate and its 401 are unsigned; then the login, its response, and two Sends.
    expect(results).toEqual([['absent', 'match', 'match', 'match'], ['absent', 'match']]);
    const signed = messagesOf(streamOf(section(number), 'client'))[1] ?? Buffer.alloc(0);
    for (let at = 0; at < signed.length - 24; at += 1) {
      const changed = Buffer.from(signed);
      changed[at] = (changed[at] ?? 0) ^ 1;
      expect(checkIntegrity(changed, 'ms', key)).not.toBe('match');
    }
    expect(checkIntegrity(signed, 'ms', longTermKey(captureLogin.user, realm, 'wrong'))).toBe('mismatch');
  });

  it('realm and nonce are swapped against the RFC', () => {
    const challenge = decodeMessage(messagesOf(streamOf(section(1), 'server'))[0] ?? Buffer.alloc(0), 'ms');
    if (challenge === null) throw new Error('not decoded');
    expect(attributeOf(challenge, msAttributes.realm)?.toString()).toBe('rtcmedia');
    expect(attributeOf(challenge, msAttributes.nonce)?.toString()).toBe('2927e3474747cfdeeec4ae3c4927c2ff');
  });
});

/** Feeds a direction in pieces and gives back what was let through. */
function feed(tap: TurnTap, stream: Buffer, cuts: readonly number[]): Buffer[] {
  const out: Buffer[] = [];
  let from = 0;
  for (const to of [...cuts, stream.length]) {
    const piece = Buffer.from(stream.subarray(from, to));
    from = to;
    if (piece.length === 0) continue;
    const judgement = tap.push(piece);
    if (judgement === 'pass') out.push(piece);
    else if (judgement.forward !== null) out.push(judgement.forward);
  }
  const rest = tap.end();
  if (rest !== null) out.push(rest);
  return out;
}

function run(capture: { client: Buffer; server: Buffer }, cuts: readonly number[], hello: boolean, rules: boolean): { details: unknown; client: Buffer[]; server: Buffer[] } {
  const deps = turnDeps(rules ? { denies: () => false } : {});
  const session = turnSession();
  const observer = new TurnObserver(session, deps.limits, deps.meter, () => 1_000);
  const taps = turnTaps({ ...deps, session, observer, framing: 'ms', hello, serverHello: hello ? readMsServerHello : null });
  // The client's requests come first: each response then finds its request.
  const client = feed(taps.client, capture.client, cuts.filter((cut) => cut < capture.client.length));
  const server = feed(taps.upstream, capture.server, cuts.filter((cut) => cut < capture.server.length));
  return { details: structuredClone(session.details.turn), client, server };
}

const allocated = {
  relayed: '127.0.0.1:51000', realm: 'rtcmedia', user: 'lync-user-binary', lifetimeSeconds: 600, bandwidth: 500, result: 'allocated', errorCode: null,
};
const twoSends = {
  peers: { '127.0.0.1:55555': { toPeer: 220, fromPeer: 0 } },
  messages: { allocate: 2, send: 2, 'allocate-error': 1, 'allocate-response': 1 },
  dataFrames: { toUpstream: 0, toClient: 0 }, dataBytes: { toUpstream: 220, toClient: 0 }, errors: { 401: 1 },
  dataRates: { toUpstream: { frames: 0, bytes: 0, framesMax: 0, bytesMax: 0 }, toClient: { frames: 0, bytes: 0, framesMax: 0, bytesMax: 0 } }, version: 1, activeDestination: null, rtpSeen: false, opaque: null,
};
const expected = new Map<number, unknown>([
  [1, { allocations: [{ ...allocated, reflexive: '127.0.0.1:60934' }], ...twoSends }],
  [2, { allocations: [{ ...allocated, realm: 'rtcmedia.local', reflexive: '127.0.0.1:57446' }], ...twoSends }],
  [4, { allocations: [{ ...allocated, reflexive: '127.0.0.1:52864' }], ...twoSends }],
]);

describe.each([1, 2, 4])('section %i through the taps', (number) => {
  const capture = { client: streamOf(section(number), 'client'), server: streamOf(section(number), 'server') };
  const hello = number !== 4;

  it.each([false, true])('cut in two at every place, with rules: %s', (rules) => {
    const longest = Math.max(capture.client.length, capture.server.length);
    for (let cut = 1; cut < longest; cut += 1) {
      const { details, client, server } = run(capture, [cut], hello, rules);
      expect(details, `cut at ${cut}`).toEqual(expected.get(number));
      expect(Buffer.concat(client).equals(capture.client)).toBe(true);
      expect(Buffer.concat(server).equals(capture.server)).toBe(true);
      // The pseudo hello leaves in one piece wherever it was cut.
      if (hello) expect(server[0]?.length).toBeGreaterThanOrEqual(83);
    }
  });

  it.each([false, true])('byte by byte, with rules: %s', (rules) => {
    const cuts = Array.from({ length: Math.max(capture.client.length, capture.server.length) }, (_, index) => index + 1);
    const { details, client, server } = run(capture, cuts, hello, rules);
    expect(details).toEqual(expected.get(number));
    expect(Buffer.concat(client).equals(capture.client)).toBe(true);
    expect(Buffer.concat(server).equals(capture.server)).toBe(true);
    if (hello) expect(server[0]?.length).toBe(83);
  });
});

describe('what does not go well in the capture', () => {
  it('section 3: a server hello in two parts waits for its end', () => {
    const parts = section(3).chunks.filter((chunk) => chunk.from === 'server').map((chunk) => chunk.bytes);
    expect(parts.map((part) => part.length)).toEqual([40, 43]);
    const { server } = run({ client: streamOf(section(3), 'client'), server: Buffer.concat(parts) }, [40], true, false);
    expect(server.map((piece) => piece.length)).toEqual([83]);
  });

  it('section 6: libnice\'s malformed type-3 frame makes its connection opaque and loses no byte', () => {
    const malformed = Buffer.from('030000030010cfb1cb2ebc5bb22391c89a163a2cfd62000f000472c64bc68008000400000001', 'hex');
    const sent = section(6).chunks.filter(({ bytes }) => bytes.equals(malformed));
    expect(sent).toHaveLength(3);
    const hello = section(6).chunks[0]?.bytes ?? Buffer.alloc(0);
    const client = Buffer.concat([hello, ...sent.map((chunk) => chunk.bytes)]);
    for (let cut = 1; cut < client.length; cut += 1) {
      const result = run({ client, server: Buffer.alloc(0) }, [cut], true, false);
      expect(Buffer.concat(result.client).equals(client)).toBe(true);
      expect(result.details).toMatchObject({ opaque: 'a frame that cannot be read', messages: { 'data-frame': 1 }, dataFrames: { toUpstream: 1 }, dataBytes: { toUpstream: 3 } });
    }
  });
});
