// SessionsView across processes: a worker serves its view on a channel, the primary uses it as if it were its own.

import type { Session } from '../core/session.ts';
import type { SessionChanges, SessionPage, SessionsView, SessionSummary } from '../core/sessions-view.ts';
import type { Limits } from '../core/limits.ts';
import { askOver, ChannelError, serveCalls } from './channel.ts';
import type { MessageChannel } from './channel.ts';

const topic = 'sessions';

/** Answers for `view` on the channel. */
export function serveView(view: SessionsView, channel: MessageChannel): void {
  serveCalls(channel, topic, {
    list: async (filter, limit, cursor) => view.list(text(filter), number(limit), textOrNull(cursor)),
    one: async (id) => view.one(text(id)),
    kill: async (id) => view.kill(text(id)),
    summary: async () => view.summary(),
    changes: async (filter, limit, mark) => view.changes(text(filter), number(limit), textOrNull(mark)),
  });
}

/** The view that the other side serves. Rejects with FilterError as there, or ChannelError when no answer comes. */
export function remoteView(channel: MessageChannel, limits: Limits): SessionsView {
  const ask = askOver(channel, topic, limits);
  return {
    list: async (filter, limit, cursor) => checked(await ask('list', filter, limit, cursor), isPage),
    one: async (id) => checked(await ask('one', id), isSessionOrNull),
    kill: async (id) => checked(await ask('kill', id), isBoolean),
    summary: async () => checked(await ask('summary'), isSummary),
    changes: async (filter, limit, mark) => checked(await ask('changes', filter, limit, mark), isChanges),
  };
}

// The other side runs the same code; these checks only make sure that an answer is of its kind.

function checked<T>(value: unknown, is: (value: unknown) => value is T): T {
  if (!is(value)) throw new ChannelError('the other side answered something else');
  return value;
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

function isPage(value: unknown): value is SessionPage {
  return isObject(value) && 'sessions' in value && Array.isArray(value.sessions) && 'total' in value && 'cursor' in value;
}

function isSessionOrNull(value: unknown): value is Session | null {
  return value === null || (isObject(value) && 'id' in value && 'startedAt' in value);
}

function isBoolean(value: unknown): value is boolean {
  return typeof value === 'boolean';
}

function isSummary(value: unknown): value is SessionSummary {
  return isObject(value) && 'active' in value && 'byProtocol' in value && 'rates' in value;
}

function isChanges(value: unknown): value is SessionChanges {
  return isObject(value) && 'changed' in value && Array.isArray(value.changed) && 'gone' in value && 'mark' in value;
}

function text(value: unknown): string {
  if (typeof value !== 'string') throw new ChannelError('a text was expected');
  return value;
}

function textOrNull(value: unknown): string | null {
  return value === null ? null : text(value);
}

function number(value: unknown): number {
  if (typeof value !== 'number') throw new ChannelError('a number was expected');
  return value;
}
