// Published HTTP/1 messages, most of them the inputs of llhttp's own tests and of RFC 9112's examples, some once more with a Host: the llhttp
// inside the pinned Node says what they are, and we agree but for the differences that test/fuzz/http-differences.ts lists.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { compare } from '../fuzz/http-differences.ts';
import { latin1, readStream, splits } from '../unit/http/messages.ts';

const vectors: readonly (readonly ['request' | 'response', string])[] = JSON.parse(readFileSync(join(import.meta.dirname, '../data/http1-vectors.json'), 'utf8'));

test.each(vectors)('%s %j', (kind, text) => {
  const { ours, found } = compare(kind, latin1(text));
  expect(found).toBeNull();
  for (const split of splits(latin1(text))) {
    const seen = readStream(kind, split);
    // A line without its end may be judged as soon as its bad byte is seen, or only with its end: nothing passes either way.
    if (seen.end === 'head' || ours.end === 'head') expect(seen.messages).toEqual(ours.messages);
    else expect(seen).toEqual(ours);
  }
});

test('both accept and both refuse a good part of them, so that agreement means something', () => {
  const outcomes = vectors.map(([kind, text]) => compare(kind, latin1(text))).map(({ ours, theirs }) => `${String(ours.why === null)} ${String(theirs.refused === null)}`);
  expect(outcomes.filter((outcome) => outcome === 'true true').length).toBeGreaterThan(40);
  expect(outcomes.filter((outcome) => outcome === 'false false').length).toBeGreaterThan(60);
});
