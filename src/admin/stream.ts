// The live stream of sessions as server-sent events (WHATWG HTML section 9.2): `session` with a session that is new or has
// changed, `gone` with the id of one that left the filter, `mark` with the id to resume from. A reader that is slow gets
// fewer, later states, never a growing queue.

import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { filterQuery } from './api.ts';
import { AdminFault } from './fault.ts';
import type { AdminOptions } from './options.ts';
import type { Route } from './routes.ts';

/** A mark is a few numbers for each worker; anything longer was not ours. */
const markCharactersMax = 2_048;

/** The route, and how to end all streams when the server closes. */
export function streamRoute(options: AdminOptions): { route: Route; closeAll(): void } {
  const open = new Set<AbortController>();
  const route: Route = {
    method: 'GET', path: '/api/sessions/stream', need: 'read',
    answer: ({ url, headers }) => {
      const query = new URLSearchParams(url.search);
      // EventSource sends the header by itself; others may name the mark in the query.
      const mark = headers['last-event-id'] ?? query.get('mark');
      query.delete('mark');
      const filter = filterQuery(query);
      const resume = typeof mark === 'string' && mark !== '' && mark.length <= markCharactersMax ? mark : null;
      if (open.size >= options.limits.streamsMax) {
        options.meter?.add('limits_hit_total', ['streamsMax']);
        throw new AdminFault(503, 'STREAMS_FULL', `There are ${open.size} live streams already (limits.streamsMax).`);
      }
      return async (response) => {
        const ending = new AbortController();
        open.add(ending);
        response.once('close', () => ending.abort());
        try {
          await pump(options, response, filter, resume, ending.signal);
        } finally {
          open.delete(ending);
          response.end();
        }
      };
    },
  };
  return { route, closeAll: () => open.forEach((ending) => ending.abort()) };
}

/** Writes changes until the reader leaves. Never rejects for a reader that has gone. */
async function pump(options: AdminOptions, response: ServerResponse, filter: string, resume: string | null, signal: AbortSignal): Promise<void> {
  const { limits, view } = options;
  response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8', 'x-accel-buffering': 'no' });
  response.write('retry: 2000\n\n');
  let mark = resume;
  let quietMs = 0;
  let first = true;
  while (!signal.aborted) {
    let more = false;
    try {
      const changes = await view.changes(filter, limits.apiPageMax, mark);
      const text = changes.changed.map((session) => event('session', session)).join('') + changes.gone.map((id) => event('gone', { id })).join('');
      if (text !== '' || first) {
        response.write(`${text}id: ${changes.mark}\n${event('mark', { more: changes.more })}`);
        quietMs = 0;
      }
      ({ mark, more } = changes);
      first = false;
    } catch (caught) {
      // A worker may be starting anew; nothing is lost, since the mark stands.
      options.log.debug({ error: caught }, 'a live stream could not ask for changes');
    }
    if (quietMs >= limits.streamHeartbeatMs) {
      response.write(': still here\n\n');
      quietMs = 0;
    }
    if (response.writableNeedDrain) await once(response, 'drain', { signal }).catch(() => undefined);
    if (!more) {
      await sleep(limits.streamPollMs, undefined, { signal }).catch(() => undefined);
      quietMs += limits.streamPollMs;
    }
  }
}

/** JSON.stringify leaves no line breaks, which would end an event's data. */
function event(name: string, data: unknown): string {
  return `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
}
