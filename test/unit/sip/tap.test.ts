// The tap without sockets: what goes on, what is held, what is answered, and that no split of the bytes changes any of it.

import { describe, expect, test } from 'vitest';
import { SipObserver } from '../../../src/sip/observer.ts';
import { SipTap } from '../../../src/sip/tap.ts';
import type { Side } from '../../../src/core/flow.ts';
import type { Session } from '../../../src/core/session.ts';
import type { FlowError } from '../../../src/core/errors.ts';
import { allow, denyMethod, message, request, response, session, testDeps } from './support.ts';
import type { TestDeps } from './support.ts';

interface Outcome {
  forwarded: string;
  answers: string;
  close: FlowError | null;
}

function connection(world: TestDeps) {
  const facts: Session = session();
  const observer = new SipObserver(facts, world.deps.limits, world.meter, () => undefined);
  // Only what the tap reaches of a flow.
  const flow = { session: facts, insideTls: true } as never;
  const tap = (from: Side) => new SipTap({ flow, deps: world.deps, observer }, from);
  return { observer, client: tap('client'), upstream: tap('upstream'), details: observer.details };
}

/** Pushes pieces and gathers what the relay would write; tags, which are random, are made the same. */
function push(tap: SipTap, pieces: readonly Buffer[]): Outcome {
  const outcome: Outcome = { forwarded: '', answers: '', close: null };
  for (const piece of pieces) {
    const judgement = tap.push(piece);
    if (judgement === 'pass') {
      outcome.forwarded += piece.toString('latin1');
      continue;
    }
    const { forward, boundary, answer, close } = judgement;
    expect(boundary).toBeLessThanOrEqual(forward?.length ?? 0);
    outcome.forwarded += forward?.toString('latin1') ?? '';
    outcome.answers += answer?.toString('latin1').replace(/tag=[0-9a-f-]{36}/g, 'tag=ours') ?? '';
    outcome.close ??= close;
    if (close !== null) break;
  }
  return outcome;
}

const invite = request('INVITE', ['Content-Type: application/sdp'], 'v=0\r\nc=IN IP4 10.0.0.1\r\nm=audio 4000 RTP/AVP 0\r\n');
const ack = request('ACK');
const ping = Buffer.from('\r\n\r\n');
const options = request('OPTIONS', ['User-Agent: tester'], 'body');

describe('without rules', () => {
  test('every chunk passes as it came, at every split', () => {
    const bytes = Buffer.concat([ping, invite, options, ack]);
    for (let at = 1; at < bytes.length; at += 1) {
      const { client, details } = connection(testDeps());
      expect(client.push(bytes.subarray(0, at))).toBe('pass');
      expect(client.push(bytes.subarray(at))).toBe('pass');
      expect(client.end()).toBeNull();
      expect(details.methods).toEqual({ INVITE: 1, OPTIONS: 1, ACK: 1 });
      expect(details.dialogs[0]?.media).toEqual(['audio 10.0.0.1:4000']);
      expect(details.keepAlives).toBe(1);
    }
  });

  test('the answer to a compression request ends the watch, in both directions', () => {
    const { client, upstream, details } = connection(testDeps());
    const compressed = Buffer.from([0x20, 0, 1, 2, 3]);
    expect(client.push(request('NEGOTIATE', ['Compression: LZ77-8K']))).toBe('pass');
    expect(details.opaque).toBeNull();
    expect(upstream.push(Buffer.concat([response(200, 'NEGOTIATE', ['Compression: LZ77-8K']), compressed]))).toBe('pass');
    expect(details.opaque).toBe('compressed (MS-SIPCOMP)');
    expect(client.push(compressed)).toBe('pass');
    expect(client.betweenFrames).toBe(false);
  });

  test.each<[string, (taps: ReturnType<typeof connection>) => void]>([
    ['a refused compression', ({ client, upstream }) => { client.push(request('NEGOTIATE')); upstream.push(response(488, 'NEGOTIATE')); }],
    ['an answer nobody asked for', ({ upstream }) => { upstream.push(response(200, 'NEGOTIATE')); }],
    ['an answer from the side that asked', ({ client }) => { client.push(request('NEGOTIATE')); client.push(response(200, 'NEGOTIATE')); }],
  ])('%s leaves the stream watched', (_name, act) => {
    const taps = connection(testDeps());
    act(taps);
    expect(taps.details.opaque).toBeNull();
  });

  test('a stream that cannot be framed goes on unwatched, and the limit that was hit is counted', () => {
    const world = testDeps(null, { sipBodyBytesMax: 10 });
    const { client, details } = connection(world);
    expect(client.push(request('MESSAGE', [], 'more than ten'))).toBe('pass');
    expect(details.opaque).toBe('body');
    expect(world.meter.of('limits_hit_total{sipBodyBytesMax}')).toBe(1);
  });
});

describe('with rules', () => {
  const stream = Buffer.concat([ping, options, invite, ping, ack, options]);
  const expected: Outcome = {
    forwarded: Buffer.concat([ping, options, ping, options]).toString('latin1'),
    answers: message([
      'SIP/2.0 603 Decline', 'Via: SIP/2.0/TLS 10.0.0.1:5061;branch=z9hG4bKone;received=127.0.0.1', 'From: "Alice" <sip:alice@contoso.test>;tag=a1;epid=0123456789',
      'To: <sip:bob@contoso.test>;tag=ours', 'Call-ID: call-1', 'CSeq: 1 INVITE', 'Reason: SIP;cause=603;text="REQUEST_DENIED"',
    ]).toString(),
    close: null,
  };

  test('a refused INVITE, its body and its ACK go nowhere; the rest goes on, at every split', () => {
    for (let at = 0; at < stream.length; at += 1) {
      const world = testDeps(denyMethod('INVITE', 603));
      const { client, details } = connection(world);
      expect(push(client, [stream.subarray(0, at), stream.subarray(at)])).toEqual(expected);
      expect(details).toMatchObject({ methods: { OPTIONS: 2, INVITE: 1, ACK: 1 }, dialogs: [], denied: { requests: 1, rule: 'sip/no-INVITE' }, keepAlives: 2 });
      expect(world.meter.of('policy_decisions_total{sip,deny}')).toBe(1);
      expect(world.meter.of('policy_decisions_total{sip,allow}')).toBe(2);
    }
  });

  test('byte by byte', () => {
    const { client } = connection(testDeps(denyMethod('INVITE', 603)));
    expect(push(client, Array.from(stream, (byte) => Buffer.from([byte])))).toEqual(expected);
  });

  test('a head is held until it is whole, its body is not', () => {
    const { client } = connection(testDeps(denyMethod('INVITE')));
    const head = options.indexOf('\r\n\r\n') + 4;
    expect(client.push(options.subarray(0, head - 1))).toMatchObject({ forward: null });
    expect(client.betweenFrames).toBe(true);
    expect(client.push(options.subarray(head - 1, head + 1))).toMatchObject({ forward: options.subarray(0, head + 1), boundary: -1 });
    expect(client.betweenFrames).toBe(false);
    expect(client.push(options.subarray(head + 1))).toBe('pass');
    expect(client.betweenFrames).toBe(true);
  });

  test('a chunk that ends within a message names the gap before it', () => {
    const { client } = connection(testDeps(denyMethod('INVITE')));
    const head = options.indexOf('\r\n\r\n') + 4;
    expect(client.push(Buffer.concat([options, options.subarray(0, head + 1)]))).toMatchObject({ boundary: options.length });
    expect(client.push(options.subarray(head + 1, head + 2))).toMatchObject({ boundary: -1 });
  });

  test('half a head at the end of the stream goes nowhere: a server might act on it', () => {
    const { client } = connection(testDeps(denyMethod('INVITE')));
    expect(push(client, [invite.subarray(0, invite.indexOf('\r\n\r\n') + 2)]).forwarded).toBe('');
    expect(client.end()).toBeNull();
  });

  test('the rules see method, addresses and agent as a server would, whatever their spelling', () => {
    const seen: unknown[] = [];
    const world = testDeps((facts) => {
      seen.push(facts);
      return allow;
    });
    const { client } = connection(world);
    client.push(message([
      'message sip:bob@contoso.test SIP/2.0', 'v: SIP/2.0/tls 10.0.0.1;branch=z9hG4bKx', 'f: "a;tag=x, <sip:not@this>" <SIP:%61lice@CONTOSO.test;user=phone?x=y>;tag=1',
      'to: tel:+1-201-555-0123;phone-context=x', 'i: c2', 'cseq:  7\r\n message', 'user-agent:\r\n UCCAPI/16.0 OC/16.0',
    ]));
    expect(seen).toEqual([{ method: 'MESSAGE', from: 'sip:alice@contoso.test', to: 'tel:+1-201-555-0123', agent: 'UCCAPI/16.0 OC/16.0' }]);
  });

  test.each<[string, readonly string[]]>([
    ['two From headers', ['From: <sip:mallory@x>;tag=2']],
    ['two Call-IDs', ['i: other']],
    ['a second CSeq', ['CSeq: 2 BYE']],
  ])('%s: 400, as a server might go by the other one', (_name, more) => {
    const { client } = connection(testDeps(denyMethod('INVITE')));
    const outcome = push(client, [request('OPTIONS', more), options]);
    expect(outcome.answers).toMatch(/^SIP\/2\.0 400 Bad Request\r\n[^]*text="SIP_MALFORMED"/);
    expect(outcome.forwarded).toBe(options.toString('latin1'));
  });

  test('an ACK that a rule denies is dropped without an answer', () => {
    const { client } = connection(testDeps(denyMethod('ACK')));
    expect(push(client, [ack, options])).toEqual({ forwarded: options.toString('latin1'), answers: '', close: null });
  });

  test('the ACK of another call passes', () => {
    const { client } = connection(testDeps(denyMethod('INVITE')));
    const other = request('ACK', [], '', 'call-2');
    expect(push(client, [invite, other]).forwarded).toBe(other.toString('latin1'));
  });

  test('compression is refused: it would blind the rules', () => {
    const { client, details } = connection(testDeps(denyMethod('INVITE')));
    const outcome = push(client, [request('NEGOTIATE', ['Compression: LZ77-8K']), options]);
    expect(outcome.answers).toMatch(/^SIP\/2\.0 488 Not Acceptable Here\r\n/);
    expect(outcome.forwarded).toBe(options.toString('latin1'));
    expect(details.opaque).toBeNull();
  });

  test('responses are never judged', () => {
    const { upstream } = connection(testDeps(() => ({ action: 'deny', rule: 'sip/all', status: null })));
    expect(upstream.push(response(200, 'INVITE'))).toBe('pass');
  });

  test('a status that is no SIP failure becomes 403', () => {
    const { client } = connection(testDeps(denyMethod('OPTIONS', 200)));
    expect(push(client, [options]).answers).toMatch(/^SIP\/2\.0 403 Forbidden\r\n/);
  });

  test.each<[string, Buffer, string]>([
    ['two lengths', message(['OPTIONS sip:a@b SIP/2.0', 'Content-Length: 7']), 'SIP_MALFORMED'],
    ['too long a start line', Buffer.from(`OPTIONS sip:${'a'.repeat(9000)}`), 'SIP_TOO_LARGE'],
    ['no SIP', Buffer.from('GET / HTTP/1.1\r\n'), 'SIP_MALFORMED'],
  ])('%s closes, after what was sound has passed', (_name, bad, code) => {
    const { client, details } = connection(testDeps(denyMethod('INVITE')));
    const outcome = push(client, [Buffer.concat([options, bad])]);
    expect(outcome.forwarded).toBe(options.toString('latin1'));
    expect(outcome.close?.code).toBe(code);
    expect(details.opaque).toBeNull();
  });
});

describe('rules that come and go with a reload', () => {
  const head = invite.indexOf('\r\n\r\n') + 4;

  test('hold from the next message on', () => {
    const world = testDeps();
    const { client } = connection(world);
    const half = Buffer.concat([invite.subarray(0, head - 9)]);
    expect(client.push(half)).toBe('pass');
    world.rule = denyMethod('INVITE');
    const outcome = push(client, [Buffer.concat([invite.subarray(head - 9), invite])]);
    expect(outcome.forwarded).toBe(invite.subarray(head - 9).toString('latin1'));
    expect(outcome.answers).toMatch(/^SIP\/2\.0 403/);
  });

  test('a head that was held is judged although the rules have gone', () => {
    const world = testDeps(denyMethod('PUBLISH'));
    const { client } = connection(world);
    expect(client.push(invite.subarray(0, 50))).toMatchObject({ forward: null });
    world.rule = null;
    expect(push(client, [invite.subarray(50)]).forwarded).toBe(invite.toString('latin1'));
  });
});

test('more messages a second than the limit are counted once a second, and pass', () => {
  const world = testDeps(null, { sipMessagesPerSecondMax: 3 });
  const { client } = connection(world);
  const five = Buffer.concat(Array.from({ length: 5 }, () => ack));
  expect(client.push(five)).toBe('pass');
  expect(world.meter.of('limits_hit_total{sipMessagesPerSecondMax}')).toBe(1);
  world.now += 1000;
  client.push(five);
  expect(world.meter.of('limits_hit_total{sipMessagesPerSecondMax}')).toBe(2);
  world.now += 1000;
  client.push(ack);
  expect(world.meter.of('limits_hit_total{sipMessagesPerSecondMax}')).toBe(2);
});

test('more requests a second than the limit are refused with 503 where rules exist; ACKs and responses pass', () => {
  const world = testDeps(() => allow, { sipMessagesPerSecondMax: 2 });
  const { client, upstream, details } = connection(world);
  const { forwarded, answers } = push(client, [Buffer.concat([options, ack, options, ack, response(200, 'OPTIONS'), options])]);
  expect(forwarded).toBe(Buffer.concat([options, ack, ack, response(200, 'OPTIONS')]).toString('latin1'));
  expect(answers.match(/^SIP\/2\.0 503 Service Unavailable\r\n/gm)).toHaveLength(2);
  expect(answers).toContain('Reason: SIP;cause=503;text="SIP_TOO_MANY"');
  expect(details).toMatchObject({ denied: { requests: 2, rule: 'limit sipMessagesPerSecondMax' }, busiestSecond: { fromClient: 6, fromUpstream: 0 } });
  // Each side has a second of its own, and the next one begins anew.
  expect(push(upstream, [options]).answers).toBe('');
  world.now += 1_000;
  expect(push(client, [options])).toMatchObject({ forwarded: options.toString('latin1'), answers: '' });
});
