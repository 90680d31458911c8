// SessionsView over one table, and over several views (the workers): newest first across all, cursors and kills that find
// their way. A part that does not answer in time is left out and said to be missing; it never holds up the others.

import type { SessionChanges, SessionPage, SessionRates, SessionsView, SessionSummary } from '../core/sessions-view.ts';
import type { Limits } from '../core/limits.ts';
import type { Session } from '../core/session.ts';
import { FilterError, parseFilter } from './filter.ts';
import type { Filter } from './filter.ts';
import { compareIds, isSessionId } from './ids.ts';
import { current } from './table.ts';
import type { SessionEntry, SessionTable } from './table.ts';

/** The view over the table of this process. */
export function localView(table: SessionTable): SessionsView {
  return {
    list: async (filter, limit, cursor) => listPage(table, filterOf(filter), limit, cursorOf(cursor)),
    one: async (id) => table.find(id),
    kill: async (id) => table.kill(id),
    summary: async () => summarize(table),
    changes: async (filter, limit, mark) => changesSince(table, filterOf(filter), limit, mark),
  };
}

/** One view over all that `parts` lists at the time of each call. */
export function mergedView(parts: () => readonly SessionsView[], limits: Limits): SessionsView {
  const ask = <T>(call: (part: SessionsView) => Promise<T>): Promise<Answers<T>> => askAll(parts(), call, limits.workerAnswerMs);
  return {
    async list(filter, limit, cursor) {
      const { text } = filterOf(filter);
      cursorOf(cursor);
      const { answers, missing } = await ask((part) => part.list(text, limit, cursor));
      return mergePages(answers, limit, missing);
    },
    async one(id) {
      const { answers } = await ask((part) => part.one(id));
      return answers.find((session) => session !== null) ?? null;
    },
    async kill(id) {
      const { answers } = await ask((part) => part.kill(id));
      return answers.includes(true);
    },
    async summary() {
      const { answers, missing } = await ask((part) => part.summary());
      return mergeSummaries(answers, missing);
    },
    async changes(filter, limit, mark) {
      const { text } = filterOf(filter);
      const { answers, missing } = await ask((part) => part.changes(text, limit, mark));
      return mergeChanges(answers, missing ? mark : null);
    },
  };
}

function filterOf(text: string): Filter {
  const filter = parseFilter(text);
  if (filter instanceof FilterError) throw filter;
  return filter;
}

function cursorOf(cursor: string | null): string | null {
  if (cursor !== null && !isSessionId(cursor)) throw new FilterError('The cursor is not one that an earlier answer gave.', 'cursor');
  return cursor;
}

// ---- One table

function listPage(table: SessionTable, filter: Filter, limit: number, cursor: string | null): SessionPage {
  const nowMs = table.clock();
  const rows = [...table.entries()];
  const sessions: Session[] = [];
  let total = 0;
  let more = false;
  for (let index = rows.length - 1; index >= 0; index -= 1) {
    const row = rows[index];
    if (row === undefined || !filter.matches(row.session, nowMs)) continue;
    total += 1;
    if (sessions.length === limit) more = true;
    else if (cursor === null || compareIds(row.session.id, cursor) < 0) sessions.push(current(row));
  }
  return { sessions, total, truncated: false, cursor: more ? (sessions.at(-1)?.id ?? null) : null };
}

function summarize(table: SessionTable): SessionSummary {
  const counts = emptySummary();
  for (const { session } of table.entries()) {
    step(counts.byProtocol, session.protocol);
    step(counts.byState, session.state);
    if (session.action !== null) step(counts.byAction, session.action);
    if (session.error !== null) step(counts.byError, session.error);
  }
  const active = table.active;
  const closed = Object.values(counts.byState).reduce((sum, count) => sum + count, 0) - active;
  return { ...counts, active, closed, rates: table.rates(), truncated: false };
}

function changesSince(table: SessionTable, filter: Filter, limit: number, mark: string | null): SessionChanges {
  table.sweep();
  const markNow = (revision: number): string => `${table.origin}:${revision}`;
  if (mark === null) return { changed: [], gone: [], mark: markNow(table.revision), more: false };
  const since = revisionOf(mark, table.origin);
  const rows: SessionEntry[] = [];
  for (const row of table.entries()) if (row.revision > since) rows.push(row);
  rows.sort((left, right) => left.revision - right.revision);
  const nowMs = table.clock();
  const changed: Session[] = [];
  const gone: string[] = [];
  for (let index = 0; index < rows.length; index += 1) {
    const row = rows[index];
    if (row === undefined) continue;
    if (changed.length + gone.length === limit) return { changed, gone, mark: markNow(rows[index - 1]?.revision ?? since), more: true };
    const session = current(row);
    table.told(row);
    if (filter.matches(session, nowMs)) changed.push(session);
    else if (row.shapeRevision > since) gone.push(session.id);
  }
  return { changed, gone, mark: markNow(table.revision), more: false };
}

/** The number a mark holds for this table; 0 (everything is new) when the mark was made before this table began. */
function revisionOf(mark: string, origin: string): number {
  for (const part of mark.split(',')) {
    const colon = part.lastIndexOf(':');
    if (part.slice(0, colon) !== origin) continue;
    const revision = Number(part.slice(colon + 1));
    return Number.isSafeInteger(revision) ? revision : 0;
  }
  return 0;
}

// ---- Several views

interface Answers<T> {
  readonly answers: readonly T[];
  readonly missing: boolean;
}

async function askAll<T>(parts: readonly SessionsView[], call: (part: SessionsView) => Promise<T>, waitMs: number): Promise<Answers<T>> {
  const asked = await Promise.all(parts.map((part) => within(call(part), waitMs)));
  const answers: T[] = [];
  for (const answer of asked) if (answer !== null) answers.push(answer.value);
  return { answers, missing: answers.length < asked.length };
}

/** The value, or null when it fails or does not come in time. */
async function within<T>(promise: Promise<T>, waitMs: number): Promise<{ value: T } | null> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<null>((resolve) => {
    timer = setTimeout(() => resolve(null), waitMs);
  });
  const answer = promise.then((value) => ({ value }), () => null);
  const first = await Promise.race([answer, late]);
  clearTimeout(timer);
  return first;
}

function mergePages(pages: readonly SessionPage[], limit: number, missing: boolean): SessionPage {
  const sessions = pages.flatMap((page) => page.sessions).sort((left, right) => compareIds(right.id, left.id));
  const more = sessions.length > limit || pages.some((page) => page.cursor !== null);
  const shown = sessions.slice(0, limit);
  return {
    sessions: shown,
    total: pages.reduce((sum, page) => sum + page.total, 0),
    truncated: missing || pages.some((page) => page.truncated),
    cursor: more ? (shown.at(-1)?.id ?? null) : null,
  };
}

/** Marks of parts that gave no answer are carried on, so that nothing of theirs is skipped when they do. */
function mergeChanges(answers: readonly SessionChanges[], carried: string | null): SessionChanges {
  const marks = new Map<string, string>();
  for (const mark of [carried ?? '', ...answers.map((answer) => answer.mark)]) {
    for (const part of mark.split(',')) if (part !== '') marks.set(part.slice(0, part.lastIndexOf(':')), part);
  }
  return {
    changed: answers.flatMap((answer) => answer.changed),
    gone: answers.flatMap((answer) => answer.gone),
    mark: [...marks.values()].join(','),
    more: answers.some((answer) => answer.more),
  };
}

function mergeSummaries(parts: readonly SessionSummary[], missing: boolean): SessionSummary {
  const sum = { ...emptySummary(), active: 0, closed: 0, truncated: missing };
  const rates = { windowSeconds: 0, sessions: 0, bytes: 0, byProtocol: {}, byAction: {}, byError: {} };
  for (const part of parts) {
    sum.active += part.active;
    sum.closed += part.closed;
    sum.truncated ||= part.truncated;
    for (const key of ['byProtocol', 'byAction', 'byError', 'byState'] as const) addCounts(sum[key], part[key]);
    addRates(rates, part.rates);
  }
  return { ...sum, rates };
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

function addRates(sum: Mutable<SessionRates>, part: SessionRates): void {
  sum.windowSeconds = Math.max(sum.windowSeconds, part.windowSeconds);
  sum.sessions += part.sessions;
  sum.bytes += part.bytes;
  for (const key of ['byProtocol', 'byAction', 'byError'] as const) addCounts(sum[key], part[key]);
}

interface Counts {
  readonly byProtocol: Record<string, number>;
  readonly byAction: Record<string, number>;
  readonly byError: Record<string, number>;
  readonly byState: Record<string, number>;
}

function emptySummary(): Counts {
  return { byProtocol: {}, byAction: {}, byError: {}, byState: {} };
}

function step(counts: Record<string, number>, word: string): void {
  counts[word] = (counts[word] ?? 0) + 1;
}

function addCounts(sum: Record<string, number>, part: Readonly<Record<string, number>>): void {
  for (const [word, count] of Object.entries(part)) sum[word] = (sum[word] ?? 0) + count;
}
