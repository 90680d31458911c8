// The framer's own promises: offsets, states, pings, bounds and bounded work. Message ends are tested in conformance.

import { describe, expect, test } from 'vitest';
import { limitsWith } from '../../../src/core/limits.ts';
import { SipFramer } from '../../../src/sip/framer.ts';
import { limits, request } from './support.ts';

function feed(framer: SipFramer, bytes: Buffer | string): string[] {
  framer.feed(Buffer.from(bytes as string));
  const steps: string[] = [];
  for (let step = framer.next(); step !== 'more'; step = framer.next()) {
    steps.push(`${step} ${framer.from}-${framer.to}`);
    if (step === 'fault') break;
  }
  return steps;
}

test('steps cover the chunk, in order', () => {
  const message = request('MESSAGE', [], 'body');
  const head = message.length - 4;
  const framer = new SipFramer(limits);
  expect(feed(framer, Buffer.concat([Buffer.from('\r\n'), message, message.subarray(0, 10)]))).toEqual([`blank 0-2`, `head 2-${head + 2}`, `body ${head + 2}-${head + 6}`]);
  expect(framer.inHead).toBe(true);
  expect(framer.headFrom).toBe(message.length + 2);
  expect(framer.held?.equals(message.subarray(0, 10))).toBe(true);
  expect(feed(framer, message.subarray(10, head + 1))).toEqual([`head 0-${head - 10}`, `body ${head - 10}-${head - 9}`]);
  expect([framer.earlierBytes, framer.bodyBytes, framer.bodyLeft, framer.idle, framer.held]).toEqual([10, 4, 3, false, null]);
  expect(feed(framer, message.subarray(head + 1))).toEqual(['body 0-3']);
  expect(framer.idle).toBe(true);
});

test('the head stays readable while its body comes, and its bytes are its own', () => {
  const message = request('MESSAGE', ['User-Agent: a'], 'body');
  const framer = new SipFramer(limits);
  feed(framer, message.subarray(0, 60));
  const rest = Buffer.from(message.subarray(60));
  feed(framer, rest);
  rest.fill(0x58);
  expect(framer.head.raw('user-agent')).toBe('a');
  expect(framer.head.bytes.equals(message.subarray(0, message.length - 4))).toBe(true);
});

describe('pings', () => {
  const count = (...chunks: string[]): number => {
    const framer = new SipFramer(limits);
    return chunks.reduce((sum, chunk) => {
      feed(framer, chunk);
      return sum + framer.takePings();
    }, 0);
  };
  test.each<[string, string[], number]>([
    ['one', ['\r\n\r\n'], 1], ['three in one chunk', ['\r\n\r\n\r\n\r\n\r\n\r\n'], 3], ['one in four chunks', ['\r', '\n', '\r', '\n'], 1], ['a pong', ['\r\n'], 0], ['five line ends', ['\r\n\r\n', '\r\n\r\n\r\n'], 2],
  ])('%s', (_name, chunks, pings) => expect(count(...chunks)).toBe(pings));

  test('line ends on both sides of a message are no ping', () => {
    const framer = new SipFramer(limits);
    feed(framer, '\r\n');
    expect(framer.takePings()).toBe(0);
    feed(framer, Buffer.concat([request('ACK'), Buffer.from('\r\n')]));
    expect(framer.takePings()).toBe(0);
  });
});

describe('bounds', () => {
  const small = limitsWith({ sipStartLineBytesMax: 256, sipHeadersBytesMax: 1024, sipHeadersMax: 16, sipBodyBytesMax: 100 });
  const message = (start: number, header: number, body = 0, lines = 0): string => {
    const line = `OPTIONS sip:${'a'.repeat(start - 'OPTIONS sip: SIP/2.0\r\n'.length)} SIP/2.0\r\n`;
    const tail = `Content-Length: ${body}\r\n\r\n`;
    return `${line}${'A: b\r\n'.repeat(lines)}X: ${'b'.repeat(Math.max(0, header - 'X: \r\n'.length - tail.length))}\r\n${tail}${'c'.repeat(body)}`;
  };
  test.each<[string, string, string | null]>([
    ['a start line of the limit', message(256, 100), null],
    ['a start line above it', message(257, 100), 'sipStartLineBytesMax'],
    ['a body of the limit', message(100, 100, 100), null],
    ['a body above it', message(100, 100, 101), 'sipBodyBytesMax'],
    ['as many headers as the limit', message(100, 100, 0, 14), null],
    ['one more', message(100, 100, 0, 15), 'sipHeadersMax'],
    ['headers of the limit', message(100, 1024), null],
    ['headers above it', message(100, 1025), 'sipHeadersBytesMax'],
  ])('%s, whole and byte by byte', (_name, text, limit) => {
    for (const pieces of [[text], [...text]]) {
      const framer = new SipFramer(small);
      for (const piece of pieces) if (framer.fault === null) feed(framer, piece);
      expect(framer.fault?.limit ?? null).toBe(limit);
      expect(framer.idle).toBe(limit === null);
      if (limit !== null) expect(framer.fault?.code).toBe('SIP_TOO_LARGE');
    }
  });

  test('a head that never ends costs each byte once, however it comes', () => {
    const framer = new SipFramer(limits);
    feed(framer, 'OPTIONS sip:a@b SIP/2.0\r\nX: ');
    const startedAt = process.cpuUsage();
    const byte = Buffer.from('a');
    for (let sent = 0; sent < 60_000; sent += 1) {
      framer.feed(byte);
      expect(framer.next()).toBe('more');
    }
    // Looking again at what was seen would take 60 000 times 30 000 steps: some seconds.
    expect(process.cpuUsage(startedAt).user).toBeLessThan(1_500_000);
    expect(framer.held?.length).toBeLessThan(64 * 1024);
  });

  test('a fault stays', () => {
    const framer = new SipFramer(limits);
    expect(feed(framer, 'GET / HTTP/1.1\r\n')).toHaveLength(1);
    expect(feed(framer, request('OPTIONS'))).toEqual(['fault 0-0']);
  });
});
