import { expect, test } from 'vitest';
import { limitsWith } from '../../../src/core/limits.ts';
import { BodyWalker } from '../../../src/http/body.ts';
import { latin1 } from './messages.ts';

const good = [
  '0\r\n\r\n', '5\r\nabcde\r\n0\r\n\r\n', '00005\r\nabcde\r\n000\r\n\r\n', 'A\r\n0123456789\r\n0\r\n\r\n', '5;a\r\nabcde\r\n0;b=c\r\n\r\n', '5;a="x;\\"y";b=c\r\nabcde\r\n0\r\n\r\n',
  '0\r\nX: y\r\nZ:\r\n\r\n', '2\r\n\r\n\r\n0\r\n\r\n',
];

test.each(good)('chunked %j ends where it ends, at every split', (text) => {
  const bytes = latin1(`${text}NEXT`);
  for (let cut = 0; cut <= text.length; cut += 1) {
    const walker = new BodyWalker(limitsWith());
    walker.begin('chunked', 0);
    const first = walker.walk(bytes.subarray(0, cut), 0);
    expect(first).toBe(cut);
    expect(walker.done).toBe(cut === text.length);
    if (!walker.done) expect(walker.walk(bytes.subarray(cut), 0)).toBe(text.length - cut);
    expect(walker).toMatchObject({ done: true, fault: null });
  }
});

test('a fault stops at the byte that shows it', () => {
  const walker = new BodyWalker(limitsWith());
  walker.begin('chunked', 0);
  expect(walker.walk(latin1('5\r\nabcdeX'), 0)).toBe(8);
  expect(walker.fault).toMatchObject({ code: 'HTTP_AMBIGUOUS' });
});

test('lengths, none and until close', () => {
  const walker = new BodyWalker(limitsWith());
  walker.begin('length', 5);
  expect([walker.walk(latin1('abc'), 0), walker.done, walker.walk(latin1('defg'), 0), walker.done]).toEqual([3, false, 2, true]);
  walker.begin('none', 7);
  expect([walker.done, walker.walk(latin1('abc'), 1)]).toEqual([true, 1]);
  walker.begin('close', 0);
  expect([walker.walk(latin1('abc'), 0), walker.done]).toEqual([3, false]);
});

test('a body of 2^53 bytes is counted, one more is refused', () => {
  const walker = new BodyWalker(limitsWith());
  walker.begin('chunked', 0);
  expect(walker.walk(latin1('1fffffffffffff\r\n'), 0)).toBe(16);
  walker.begin('chunked', 0);
  walker.walk(latin1('20000000000000\r\n'), 0);
  expect(walker.fault).not.toBeNull();
});
