import { EventEmitter } from 'node:events';
import { describe, expect, it } from 'vitest';
import { limitsWith } from '../../../src/core/limits.ts';
import { askOver, ChannelError, channelTo, serveCalls } from '../../../src/sessions/channel.ts';
import type { MessageChannel } from '../../../src/sessions/channel.ts';

/** Two ends in one process; messages are copied as IPC copies them. */
function pair(): [MessageChannel, MessageChannel] {
  const listeners: ((message: unknown) => void)[][] = [[], []];
  const end = (mine: number, theirs: number): MessageChannel => ({
    send: (message) => {
      const copy: unknown = JSON.parse(JSON.stringify(message));
      queueMicrotask(() => listeners[theirs]?.forEach((listener) => listener(copy)));
    },
    onMessage: (listener) => listeners[mine]?.push(listener),
  });
  return [end(0, 1), end(1, 0)];
}

describe('questions over a channel', () => {
  it('topics do not hear each other, and both sides may ask', async () => {
    const [left, right] = pair();
    serveCalls(left, 'a', { name: async () => 'left a' });
    serveCalls(right, 'a', { name: async () => 'right a' });
    serveCalls(right, 'b', { name: async () => 'right b' });
    expect(await askOver(left, 'a', limitsWith())('name')).toBe('right a');
    expect(await askOver(left, 'b', limitsWith())('name')).toBe('right b');
    expect(await askOver(right, 'a', limitsWith())('name')).toBe('left a');
  });

  it('foreign and broken messages pass unseen', async () => {
    const [left, right] = pair();
    serveCalls(right, 'a', { echo: async (value) => value });
    for (const message of [null, 1, 'x', {}, { sallyport: 'ask' }, { sallyport: 'answer', topic: 'a', number: 99 }, { cmd: 'NODE_x' }, { sallyport: 'ask', topic: 'a', number: 1, call: 'echo', args: 'x' }]) {
      left.send(message);
      right.send(message);
    }
    expect(await askOver(left, 'a', limitsWith())('echo', 5)).toBe(5);
  });

  it('a call that nobody answers, and one that fails, reject', async () => {
    const [left, right] = pair();
    serveCalls(right, 'a', { fail: async () => Promise.reject(new RangeError('too far')) });
    const ask = askOver(left, 'a', limitsWith());
    await expect(ask('toString')).rejects.toThrow('nobody answers');
    await expect(ask('fail')).rejects.toThrow('too far');
  });

  it('no answer in time rejects', async () => {
    const [left] = pair();
    await expect(askOver(left, 'a', limitsWith({ workerAnswerMs: 100 }))('x')).rejects.toBeInstanceOf(ChannelError);
  });

  it('a closed channel rejects at once', async () => {
    const peer = Object.assign(new EventEmitter(), { send: () => { throw new Error('channel closed'); } });
    await expect(askOver(channelTo(peer), 'a', limitsWith())('x')).rejects.toThrow('the other side is gone');
  });
});
