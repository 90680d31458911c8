// Seeded, bounded fuzzing of SIP framing, headers, detection and the tap: mutated real messages. Never throws, the same at any
// split, holds no more than its limits, and with rules never lets a refused method through that a server could frame.

import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { limitsWith } from '../../src/core/limits.ts';
import { addressIn, isPlainAddress, listIn, paramIn, plainUri } from '../../src/sip/address.ts';
import { detectSip } from '../../src/sip/detect.ts';
import { SipFramer } from '../../src/sip/framer.ts';
import { cseqIn } from '../../src/sip/headers.ts';
import { SipObserver } from '../../src/sip/observer.ts';
import { readSdp } from '../../src/sip/sdp.ts';
import { SipTap } from '../../src/sip/tap.ts';
import { allow, request, response, session, testDeps } from '../unit/sip/support.ts';
import type { SipRule } from '../unit/sip/support.ts';

const seed = Number(process.env['SALLYPORT_FUZZ_SEED'] ?? 1);
const rounds = Number(process.env['SALLYPORT_FUZZ_ROUNDS'] ?? 4000);
const limits = limitsWith({ sipStartLineBytesMax: 512, sipHeadersBytesMax: 4096, sipBodyBytesMax: 4096, sipHeadersMax: 40, sipDialogsMax: 8, sipRegistrationsMax: 8, sessionDetailsMax: 4 });

/** A small generator (mulberry32): the same numbers for the same seed. */
function numbers(start: number): (below: number) => number {
  let state = start >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

const corpus: readonly Buffer[] = [
  ...['rfc4475', 'rfc5118'].flatMap((folder) => {
    const url = new URL(`../data/${folder}/`, import.meta.url);
    return readdirSync(url).map((file) => readFileSync(new URL(file, url)));
  }),
  request('INVITE', ['Content-Type: application/sdp'], 'v=0\r\nc=IN IP4 10.0.0.1\r\nm=audio 4000 RTP/AVP 0\r\n'), request('REGISTER', ['Contact: <sip:a@b>;expires=5']), request('NEGOTIATE'),
  response(200, 'REGISTER', ['Contact: <sip:a@b>;expires=5']), response(200, 'INVITE'), response(401, 'REGISTER', ['WWW-Authenticate: NTLM x']), request('BYE'), request('ACK'), Buffer.from('\r\n\r\n'),
];
/** What makes framing doubtful, put in anywhere. */
const spice = ['\r\n', '\n', '\r', '\0', ' ', '\t', 'Content-Length: 3\r\n', 'l: 0\r\n', '\r\n l: 4\r\n', ':', ';', ',', '"', '<', '>', '\\', '%', 'SIP/2.0', '-1', '9999999999', '\xff'];

function mutated(random: (below: number) => number): Buffer {
  const parts = Array.from({ length: 1 + random(3) }, () => Buffer.from(corpus[random(corpus.length)] ?? ''));
  let bytes = Buffer.concat(parts);
  for (let edits = random(5); edits > 0 && bytes.length > 0; edits -= 1) {
    const at = random(bytes.length);
    const kind = random(4);
    if (kind === 0) bytes[at] = random(256);
    else if (kind === 1) bytes = Buffer.concat([bytes.subarray(0, at), Buffer.from(spice[random(spice.length)] ?? '', 'latin1'), bytes.subarray(at)]);
    else if (kind === 2) bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(Math.min(bytes.length, at + 1 + random(40)))]);
    else bytes = Buffer.concat([bytes, bytes.subarray(at, Math.min(bytes.length, at + random(300)))]);
  }
  return bytes;
}

function cut(bytes: Buffer, random: (below: number) => number): Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0; at < bytes.length;) {
    const to = Math.min(bytes.length, at + 1 + random(random(4) === 0 ? 3 : 400));
    pieces.push(bytes.subarray(at, to));
    at = to;
  }
  return pieces;
}

/** Everything the framer says of a stream. */
function framed(pieces: readonly Buffer[]): string[] {
  const framer = new SipFramer(limits);
  const seen: string[] = [];
  let body = 0;
  for (const piece of pieces) {
    framer.feed(piece);
    let covered = 0;
    for (let step = framer.next(); step !== 'more'; step = framer.next()) {
      if (step === 'fault') return [...seen, `${framer.fault?.code} ${framer.fault?.detail}`];
      expect(framer.from).toBe(covered);
      covered = framer.to;
      if (step === 'body') body += framer.to - framer.from;
      if (step === 'head') {
        const { head } = framer;
        seen.push(`${head.method} ${head.status} ${framer.bodyBytes} ${head.raw('call-id')} ${head.all('via').join('|')} ${head.bytes.toString('latin1')}`);
      }
      if (step !== 'blank' && framer.bodyLeft === 0 && body > 0) {
        seen.push(`body ${body}`);
        body = 0;
      }
    }
    // A head in the making is all that is held, and bounded.
    if (framer.inHead) expect(framer.held?.length ?? 0).toBeLessThanOrEqual(limits.sipStartLineBytesMax + limits.sipHeadersBytesMax + 2048);
    else expect(covered).toBe(piece.length);
  }
  return seen;
}

test('the framer: any split, the same messages or the same fault', () => {
  const random = numbers(seed);
  for (let round = 0; round < rounds; round += 1) {
    const bytes = mutated(random);
    const whole = framed([bytes]);
    expect(framed(cut(bytes, random))).toEqual(whole);
    if (round % 20 === 0) expect(framed(Array.from(bytes, (byte) => Buffer.from([byte])))).toEqual(whole);
  }
});

test('detection: an answer never changes as bytes come', () => {
  const random = numbers(seed + 1);
  for (let round = 0; round < rounds / 10; round += 1) {
    const bytes = mutated(random);
    let answer = 'more';
    for (let length = 0; length <= Math.min(bytes.length, 700); length += 1) {
      const found = detectSip(bytes.subarray(0, length), 'client', limits);
      const now = typeof found === 'string' ? found : JSON.stringify(found);
      if (answer !== 'more') expect(now).toBe(answer);
      answer = now;
    }
  }
});

interface Passed {
  readonly forwarded: string;
  readonly answers: string;
  readonly details: string;
  readonly closed: string | null;
}

function tapped(pieces: readonly Buffer[], rule: SipRule): Passed {
  const world = testDeps(rule, limits);
  const facts = session();
  const observer = new SipObserver(facts, limits, world.meter, () => undefined);
  const tap = new SipTap({ flow: { session: facts, insideTls: true } as never, deps: world.deps, observer }, 'client');
  let [forwarded, answers, closed]: [string, string, string | null] = ['', '', null];
  for (const piece of pieces) {
    const judgement = tap.push(piece);
    if (judgement === 'pass') forwarded += piece.toString('latin1');
    else {
      forwarded += judgement.forward?.toString('latin1') ?? '';
      answers += judgement.answer?.toString('latin1').replace(/tag=[0-9a-f-]{36}/g, 'tag=ours') ?? '';
      closed = judgement.close?.code ?? null;
      if (closed !== null) break;
    }
  }
  const { registrations, dialogs, methods, statuses, subscriptions } = observer.details;
  expect(registrations.length).toBeLessThanOrEqual(limits.sessionDetailsMax);
  expect(dialogs.length).toBeLessThanOrEqual(limits.sessionDetailsMax);
  expect(subscriptions?.length ?? 0).toBeLessThanOrEqual(limits.sessionDetailsMax);
  expect(Object.keys(methods).length).toBeLessThanOrEqual(limits.sessionDetailsMax + 1);
  observer.close();
  expect(world.meter.of('sip_dialogs{}')).toBe(0);
  expect(world.meter.of('sip_registrations{}')).toBe(0);
  return { forwarded, answers, details: JSON.stringify({ ...observer.details, statuses }), closed };
}

test('the tap without rules: every byte passes, whatever it is', () => {
  const random = numbers(seed + 2);
  for (let round = 0; round < rounds; round += 1) {
    const bytes = mutated(random);
    const whole = tapped([bytes], null);
    expect(whole.forwarded).toBe(bytes.toString('latin1'));
    const pieces = tapped(cut(bytes, random), null);
    expect(pieces.forwarded).toBe(whole.forwarded);
    expect(pieces.details).toBe(whole.details);
  }
});

test('the tap with rules: any split, the same outcome; what passes holds no refused method', () => {
  const random = numbers(seed + 3);
  const rule: SipRule = (facts) => (facts.method === 'INVITE' ? { action: 'deny', rule: 'sip/no-invite', status: null } : allow);
  for (let round = 0; round < rounds; round += 1) {
    const bytes = mutated(random);
    const whole = tapped([bytes], rule);
    const pieces = tapped(cut(bytes, random), rule);
    expect({ answers: pieces.answers, closed: pieces.closed, forwarded: pieces.forwarded }).toEqual({ answers: whole.answers, closed: whole.closed, forwarded: whole.forwarded });
    expect(methodsOf(whole.forwarded)).not.toContain('INVITE');
    expect(methodsOf(whole.forwarded)).not.toContain('NEGOTIATE');
  }
});

/** The methods a server sees in what passed: framed as whole again, independently of what was dropped. */
function methodsOf(forwarded: string): string[] {
  const framer = new SipFramer(limits);
  framer.feed(Buffer.from(forwarded, 'latin1'));
  const methods: string[] = [];
  for (let step = framer.next(); step !== 'more' && step !== 'fault'; step = framer.next()) if (step === 'head') methods.push(framer.head.method);
  return methods;
}

test('values: addresses, lists, parameters, CSeq and SDP of anything', () => {
  const random = numbers(seed + 4);
  for (let round = 0; round < rounds; round += 1) {
    const bytes = mutated(random);
    const text = bytes.toString('latin1').slice(0, 600);
    const { uri, params } = addressIn(text);
    expect(text).toContain(uri);
    plainUri(uri);
    paramIn(params, 'tag');
    cseqIn(text);
    isPlainAddress(text);
    expect(listIn(text).join('').length).toBeLessThanOrEqual(text.length);
    const { media, codecs } = readSdp(bytes);
    expect(media.length).toBeLessThanOrEqual(8);
    expect(codecs.length).toBeLessThanOrEqual(8);
  }
});
