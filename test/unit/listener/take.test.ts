import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { takeMessage } from '../../../src/listener/take.ts';

/** Messages are digits that end in a dot. */
const read = (bytes: Buffer): { text: string; lengthBytes: number } | 'more' | 'no' => {
  const text = bytes.toString('latin1');
  const [whole] = /^\d*\./.exec(text) ?? [];
  if (whole !== undefined) return { text: whole, lengthBytes: whole.length };
  return /^\d*$/.test(text) ? 'more' : 'no';
};

describe('one message', () => {
  it('is taken whole, and what follows is left', async () => {
    const stream = new PassThrough();
    stream.write('12');
    setTimeout(() => stream.write('3.rest'), 10);
    expect(await takeMessage(stream, read, 1000)).toEqual({ kind: 'message', message: { text: '123.', lengthBytes: 4 } });
    expect(String(stream.read())).toBe('rest');
  });

  it('after another, out of one chunk', async () => {
    const stream = new PassThrough();
    stream.write('1.2.x');
    expect(await takeMessage(stream, read, 1000)).toMatchObject({ message: { text: '1.' } });
    expect(await takeMessage(stream, read, 1000)).toMatchObject({ message: { text: '2.' } });
    expect(await takeMessage(stream, read, 1000)).toEqual({ kind: 'no' });
    expect(String(stream.read())).toBe('x');
  });

  it.each([
    ['something else', (stream: PassThrough) => void stream.write('x'), 'no'],
    ['too little before the end', (stream: PassThrough) => void stream.end('12'), 'cut'],
    ['nothing before the end', (stream: PassThrough) => void stream.end(), 'ended'],
    ['too little in time', (stream: PassThrough) => void stream.write('12'), 'late'],
    ['an error', (stream: PassThrough) => void stream.destroy(new Error('gone')), 'error'],
  ])('%s', async (_name, act, kind) => {
    const stream = new PassThrough();
    setTimeout(() => act(stream), 5);
    expect(await takeMessage(stream, read, 100)).toMatchObject({ kind });
  });
});
