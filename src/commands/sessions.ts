// `sallyport sessions`: lists, watches and kills sessions of a running gateway through its admin API. It reads no state
// of the gateway but that API and the token file.

import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import type { Session } from '../core/session.ts';
import { filterKeys, FilterError, parseFilter } from '../sessions/filter.ts';
import { adminClient, AdminClientError } from './admin-client.ts';
import type { AdminClient } from './admin-client.ts';
import { readEvents } from './event-stream.ts';
import { clean, sessionLine, tableLines } from './sessions-text.ts';

/** What the command line gives every command that talks to a running gateway. */
export interface SessionsCommandOptions {
  /** The admin listener, unless --admin says otherwise: `host:port`. */
  readonly admin: string;
  /** The token's file, unless --token-file says otherwise. */
  readonly tokenFile: string | null;
  readonly stdout: Output;
  readonly stderr: Output;
  /** Ends --watch (Ctrl-C). */
  readonly signal?: AbortSignal;
}

/** A terminal, file or pipe. */
export interface Output {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
}

const help = `usage: sallyport sessions [FILTER] [--json] [--watch] [--limit N] [--admin HOST:PORT] [--token-file FILE]
       sallyport sessions kill ID

FILTER is key=word,word & key=word (quote the &, or give several words):
${filterKeys.map(({ key, about, words, form }) => `  ${key.padEnd(12)} ${about}; ${words === null ? form : words.length > 30 ? 'a code of docs/errors.md' : words.join(' ')}`).join('\n')}

  --json        the API's answer; with --watch one JSON line for each change
  --watch       keep showing what happens, until Ctrl-C
  --limit N     at most so many sessions (200)
`;

/** Sessions shown when --limit does not say. */
const limitDefault = 200;
/** Sessions of one request to the API; every gateway's apiPageMax allows it by default. */
const pageMax = 1000;
/** How often the live table is drawn. */
const drawMs = 1000;

/** Runs the command. Resolves with its exit code: 0 done, 1 failed, 2 wrong usage. */
export async function run(args: readonly string[], options: SessionsCommandOptions): Promise<number> {
  const order = parseOrder(args, options);
  if (typeof order === 'string') {
    options.stderr.write(`sallyport sessions: ${order}\n`);
    return 2;
  }
  if (order.help) {
    options.stdout.write(help);
    return 0;
  }
  try {
    const client = await adminClient(order);
    if (order.kill !== null) return await kill(client, order.kill, options);
    if (!order.watch) return await list(client, order, options);
    const signal = options.signal ?? new AbortController().signal;
    if (options.stdout.isTTY === true && !order.json) await watchTable(client, order, options.stdout, signal);
    else await watchLines(client, order, options, signal);
    return 0;
  } catch (caught) {
    if (!(caught instanceof AdminClientError)) throw caught;
    options.stderr.write(`sallyport sessions: ${caught.message}\n`);
    return 1;
  }
}

interface Order {
  readonly filter: string;
  readonly kill: string | null;
  readonly json: boolean;
  readonly watch: boolean;
  readonly help: boolean;
  readonly limit: number;
  readonly admin: string;
  readonly tokenFile: string | null;
}

/** What is asked for, or what is wrong with it. */
function parseOrder(args: readonly string[], options: SessionsCommandOptions): Order | string {
  let parsed;
  try {
    parsed = parseArgs({
      args: [...args], allowPositionals: true,
      options: {
        json: { type: 'boolean', default: false }, watch: { type: 'boolean', default: false }, help: { type: 'boolean', default: false, short: 'h' },
        limit: { type: 'string', default: String(limitDefault) }, admin: { type: 'string' }, 'token-file': { type: 'string' },
      },
    });
  } catch (caught) {
    return caught instanceof Error ? (caught.message.split('. ')[0] ?? caught.message) : String(caught);
  }
  const { values, positionals } = parsed;
  const limit = Number(values.limit);
  if (!Number.isInteger(limit) || limit < 1) return '--limit is a whole number above 0';
  const common = {
    json: values.json, watch: values.watch, help: values.help, limit,
    admin: values.admin ?? options.admin, tokenFile: values['token-file'] ?? options.tokenFile,
  };
  if (positionals[0] === 'kill') {
    const [, id, ...rest] = positionals;
    return id === undefined || rest.length > 0 ? 'kill takes one id, as the first column of `sallyport sessions --json` or the ID column shows it' : { ...common, filter: '', kill: id };
  }
  const filter = parseFilter(positionals.join('&'));
  return filter instanceof FilterError ? filter.message : { ...common, filter: filter.text, kill: null };
}

async function kill(client: AdminClient, id: string, options: SessionsCommandOptions): Promise<number> {
  await client.json('DELETE', `/api/sessions/${encodeURIComponent(id)}`);
  options.stdout.write(`killed ${id}\n`);
  return 0;
}

async function list(client: AdminClient, order: Order, { stdout, stderr }: SessionsCommandOptions): Promise<number> {
  const page = await fetchSessions(client, order.filter, order.limit);
  if (order.json) stdout.write(`${JSON.stringify(page, null, 2)}\n`);
  else stdout.write(`${tableLines(page.sessions, stdout.isTTY === true ? (stdout.columns ?? null) : null).join('\n')}\n`);
  if (page.truncated) stderr.write('sallyport sessions: a worker did not answer in time; its sessions are missing\n');
  const more = page.total - page.sessions.length;
  if (more > 0 && !order.json) stderr.write(`sallyport sessions: ${more} more; see them with --limit ${page.total}, or filter\n`);
  return 0;
}

interface Listing {
  readonly sessions: readonly Session[];
  readonly total: number;
  readonly truncated: boolean;
}

async function fetchSessions(client: AdminClient, filter: string, limit: number): Promise<Listing> {
  const sessions: Session[] = [];
  let cursor: string | null = null;
  let total = 0;
  let truncated = false;
  do {
    const size = Math.min(limit - sessions.length, pageMax);
    const page = await client.json('GET', `/api/sessions?${filter === '' ? '' : `${filter}&`}limit=${size}${cursor === null ? '' : `&cursor=${cursor}`}`);
    if (!isPage(page)) throw new AdminClientError(`${client.address} does not answer as a gateway does`);
    sessions.push(...page.sessions);
    ({ total, cursor } = page);
    truncated ||= page.truncated;
  } while (cursor !== null && sessions.length < limit);
  return { sessions, total, truncated };
}

/** Draws the newest sessions again and again on the terminal's other screen, and leaves the first as it was. */
async function watchTable(client: AdminClient, order: Order, stdout: Output, signal: AbortSignal): Promise<void> {
  stdout.write('\u001b[?1049h\u001b[?25l');
  try {
    let shown = '';
    while (!signal.aborted) {
      const rows = Math.max(1, (stdout.rows ?? 24) - 2);
      const { sessions, total, truncated } = await fetchSessions(client, order.filter, Math.min(order.limit, rows));
      const status = `${sessions.length} of ${total} sessions${truncated ? ', a worker is missing' : ''}${order.filter === '' ? '' : `, ${clean(decodeURIComponent(order.filter))}`}; Ctrl-C ends`;
      const lines = [...tableLines(sessions, stdout.columns ?? null), status.slice(0, stdout.columns ?? status.length)];
      // Each line clears what stood behind it; the last clears what stood below: nothing flickers.
      const screen = `\u001b[H${lines.map((line) => `${line}\u001b[K`).join('\r\n')}\u001b[J`;
      if (screen !== shown) stdout.write(screen);
      shown = screen;
      await sleep(drawMs, undefined, { signal }).catch(() => undefined);
    }
  } finally {
    stdout.write('\u001b[?25h\u001b[?1049l');
  }
}

/** Writes a line for each change, and goes on where it was when the gateway comes back. */
async function watchLines(client: AdminClient, order: Order, { stdout, stderr }: SessionsCommandOptions, signal: AbortSignal): Promise<void> {
  const path = `/api/sessions/stream${order.filter === '' ? '' : `?${order.filter}`}`;
  let mark: string | null = null;
  let failures = 0;
  while (!signal.aborted) {
    try {
      const pieces = await client.text(path, mark === null ? {} : { 'last-event-id': mark }, signal);
      failures = 0;
      for await (const event of readEvents(pieces)) {
        mark = event.id ?? mark;
        if (event.name === 'session') stdout.write(order.json ? `${event.data}\n` : `${lineOf(event.data)}\n`);
      }
    } catch (caught) {
      if (signal.aborted) return;
      // The first failure is the operator's to know; later ones are a gateway that restarts.
      if (mark === null && caught instanceof AdminClientError) throw caught;
      if (failures === 0) stderr.write('sallyport sessions: the gateway is gone; trying again\n');
      failures += 1;
    }
    await sleep(drawMs, undefined, { signal }).catch(() => undefined);
  }
}

function lineOf(data: string): string {
  const session: unknown = JSON.parse(data);
  return isSession(session) ? sessionLine(session) : '?';
}

// The gateway answers with its own Session type; these checks only tell it from something else on that port.

function isSession(value: unknown): value is Session {
  return typeof value === 'object' && value !== null && 'id' in value && 'client' in value && 'bytes' in value && 'destination' in value;
}

function isPage(value: unknown): value is { sessions: Session[]; total: number; truncated: boolean; cursor: string | null } {
  return typeof value === 'object' && value !== null && 'sessions' in value && Array.isArray(value.sessions) && value.sessions.every(isSession)
    && 'total' in value && typeof value.total === 'number' && 'cursor' in value;
}
