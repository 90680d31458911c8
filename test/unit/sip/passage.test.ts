// Which bytes go on, and where the last message among them ends.

import { expect, test } from 'vitest';
import { Passage } from '../../../src/sip/passage.ts';

function passage(act: (passage: Passage) => void): { whole: boolean; bytes: string | null; boundary: number } {
  const made = new Passage();
  // Used twice, as the tap does: nothing of the first chunk may show.
  made.begin(Buffer.from('other'));
  made.release(Buffer.from('x'));
  made.pass(0, 5);
  made.mark();
  made.begin(Buffer.from('0123456789'));
  act(made);
  const whole = made.isWhole;
  return { whole, bytes: made.bytes()?.toString() ?? null, boundary: made.boundary };
}

test.each<[string, (made: Passage) => void, ReturnType<typeof passage>]>([
  ['all, in parts', (made) => { made.pass(0, 4); made.mark(); made.pass(4, 10); }, { whole: true, bytes: '0123456789', boundary: 4 }],
  ['nothing', () => undefined, { whole: false, bytes: null, boundary: -1 }],
  ['a hole', (made) => { made.pass(0, 3); made.mark(); made.pass(7, 10); made.mark(); }, { whole: false, bytes: '012789', boundary: 6 }],
  ['not the beginning', (made) => made.pass(2, 10), { whole: false, bytes: '23456789', boundary: -1 }],
  ['not the end', (made) => made.pass(0, 9), { whole: false, bytes: '012345678', boundary: -1 }],
  ['held bytes first', (made) => { made.release(Buffer.from('ab')); made.pass(0, 2); made.mark(); made.pass(2, 10); }, { whole: false, bytes: 'ab0123456789', boundary: 4 }],
  ['held bytes after a run', (made) => { made.pass(0, 1); made.release(Buffer.from('ab')); made.pass(1, 2); }, { whole: false, bytes: '0ab1', boundary: -1 }],
])('%s', (_name, act, expected) => expect(passage(act)).toEqual(expected));

test('one run is a view of the chunk, not a copy', () => {
  const chunk = Buffer.from('0123');
  const made = new Passage();
  made.begin(chunk);
  made.pass(1, 3);
  expect(made.bytes()?.buffer).toBe(chunk.buffer);
});
