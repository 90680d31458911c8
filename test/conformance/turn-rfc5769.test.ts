// RFC 5769 test vectors: what each message says, MESSAGE-INTEGRITY and FINGERPRINT, and that a changed byte is noticed; then each
// vector through the RFC walker at every split.

import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { addressText, attributeOf, checkFingerprint, checkIntegrity, decodeMessage, longTermKey, readXorAddress } from '../../src/turn/codec.ts';
import { FrameWalker } from '../../src/turn/frames.ts';
import { rfcAttributes } from '../../src/turn/names.ts';

const vector = (name: string): Buffer => readFileSync(new URL(`../data/rfc5769/${name}.bin`, import.meta.url));
const shortTermKey = Buffer.from('VOkJxbRl1RmTxUk/WvJxBt');
/** The user name is written in Katakana; the password is what SASLprep makes of the RFC's (soft hyphens and a feminine ordinal go). */
const longTerm = longTermKey('\u30DE\u30C8\u30EA\u30C3\u30AF\u30B9', 'example.org', 'TheMatrIX');

interface Vector {
  readonly name: string;
  readonly key: Buffer;
  readonly type: string;
  readonly fingerprint: 'match' | 'absent';
  readonly transaction: string;
  readonly software: string | null;
  readonly mapped: string | null;
}

const sample = '2112a442b7e7a701bc34d686fa87dfae';
const vectors: readonly Vector[] = [
  { name: 'reqstc', key: shortTermKey, type: 'binding', fingerprint: 'match', transaction: sample, software: 'STUN test client', mapped: null },
  { name: 'respv4', key: shortTermKey, type: 'binding-response', fingerprint: 'match', transaction: sample, software: 'test vector', mapped: '192.0.2.1:32853' },
  { name: 'respv6', key: shortTermKey, type: 'binding-response', fingerprint: 'match', transaction: sample, software: 'test vector', mapped: '[2001:db8:1234:5678:11:2233:4455:6677]:32853' },
  { name: 'reqltc', key: longTerm, type: 'binding', fingerprint: 'absent', transaction: '2112a44278ad3433c6ad72c029da412e', software: null, mapped: null },
];

describe.each(vectors)('$name', ({ name, key, type, fingerprint, transaction, software, mapped }) => {
  it('reads as the RFC says', () => {
    const message = decodeMessage(vector(name), 'rfc');
    if (message === null) throw new Error('not decoded');
    expect(message.whole).toBe(true);
    expect(message.name).toBe(type);
    expect(message.transaction.toString('hex')).toBe(transaction);
    expect(attributeOf(message, rfcAttributes.software)?.toString() ?? null).toBe(software);
    const address = attributeOf(message, rfcAttributes['xor-mapped-address']);
    const read = address === null ? null : readXorAddress(address, message.transaction);
    expect(read === null ? null : addressText(read)).toBe(mapped);
  });

  it('proves its integrity, and a changed byte breaks it', () => {
    expect(checkIntegrity(vector(name), 'rfc', key)).toBe('match');
    expect(checkFingerprint(vector(name))).toBe(fingerprint);
    const tampered = vector(`${name}-tampered`);
    expect(tampered.equals(vector(name))).toBe(false);
    expect(checkIntegrity(tampered, 'rfc', key)).toBe('mismatch');
    if (fingerprint === 'match') expect(checkFingerprint(tampered)).toBe('mismatch');
    expect(checkIntegrity(vector(name), 'rfc', Buffer.from('another key'))).toBe('mismatch');
  });

  it('frames the same at every split', () => {
    const stream = Buffer.concat([vector(name), vector(name)]);
    for (let cut = 0; cut < stream.length; cut += 1) {
      const walker = new FrameWalker({ framing: 'rfc', hello: false, messageBytesMax: 8192 });
      const frames: string[] = [];
      for (const piece of [stream.subarray(0, cut), stream.subarray(cut)]) {
        walker.feed(piece);
        for (let step = walker.next(); step !== 'end'; step = walker.next()) {
          if (step === 'control') frames.push(walker.message.toString('hex'));
        }
      }
      expect(frames).toEqual([vector(name).toString('hex'), vector(name).toString('hex')]);
      expect(walker.between).toBe(true);
    }
  });
});
