import { describe, expect, it } from 'vitest';
import { readEvents } from '../../../src/commands/event-stream.ts';
import type { StreamEvent } from '../../../src/commands/event-stream.ts';

async function* pieces(text: string, size: number): AsyncGenerator<string> {
  for (let from = 0; from < text.length; from += size) yield text.slice(from, from + size);
}

describe('server-sent events', () => {
  const text = 'retry: 2000\n\nevent: session\ndata: {"a":1}\n\n: still here\n\nid: 1.x:5\nevent: mark\ndata:{"more":false}\n\ndata: one\ndata: two\n\n';
  const expected: StreamEvent[] = [
    { name: 'session', data: '{"a":1}', id: null },
    { name: 'mark', data: '{"more":false}', id: '1.x:5' },
    { name: 'message', data: 'one\ntwo', id: null },
  ];

  it('are the same at every split', async () => {
    for (let size = 1; size <= text.length; size += 1) {
      const events: StreamEvent[] = [];
      for await (const event of readEvents(pieces(text, size))) events.push(event);
      expect(events).toEqual(expected);
    }
  });

  it('one that does not end is not held for ever', async () => {
    const events: StreamEvent[] = [];
    let taken = 0;
    async function* endless(): AsyncGenerator<string> {
      for (;;) {
        taken += 1;
        yield 'data: x'.repeat(10_000);
      }
    }
    for await (const event of readEvents(endless())) events.push(event);
    expect(events).toEqual([]);
    expect(taken).toBeLessThan(100);
  });
});
