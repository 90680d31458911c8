import { expect, test } from 'vitest';
import { acceptKey, clientFrame, readFrames } from '../../../bench/websocket.ts';

test('the accept key of RFC 6455, section 1.3', () => {
  expect(acceptKey('dGhlIHNhbXBsZSBub25jZQ==')).toBe('s3pPLMBiTxaQ9kYGzzhZRbK+xOo=');
});

test('a masked text frame of RFC 6455, section 5.7', () => {
  expect(clientFrame(Buffer.from('Hello'), Buffer.from('37fa213d', 'hex')).toString('hex')).toBe('818537fa213d7f9f4d5158');
});

test('frames are read whatever the split, masked or not', () => {
  const bytes = Buffer.concat([clientFrame(Buffer.from('one'), Buffer.from('01020304', 'hex')), Buffer.from([0x81, 3]), Buffer.from('two')]);
  for (let cut = 0; cut <= bytes.length; cut += 1) {
    const first = readFrames(bytes.subarray(0, cut));
    const second = readFrames(Buffer.concat([first.rest, bytes.subarray(cut)]));
    expect([...first.frames, ...second.frames].map(({ first: head, payload }) => `${String(head)} ${payload.toString()}`)).toEqual(['129 one', '129 two']);
    expect(second.rest.length).toBe(0);
  }
});

test('a frame longer than the benchmark sends is refused', () => {
  expect(() => readFrames(Buffer.from([0x81, 126, 1, 0]))).toThrow(/longer/);
});
