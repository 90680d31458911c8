// `sallyport learned`: lists the learned bypasses of a running gateway and makes it forget them, through its admin API. It never touches
// the state folder.

import { parseArgs } from 'node:util';
import { adminClient, AdminClientError } from './admin-client.ts';
import type { AdminClient } from './admin-client.ts';
import type { SessionsCommandOptions } from './sessions.ts';
import { clean, spanText } from './sessions-text.ts';
import type { LearnedBypass } from '../policy/learned.ts';

const help = `usage: sallyport learned [--json] [--admin HOST:PORT] [--token-file FILE]
       sallyport learned clear (WORD ... | --all)

Clients that kept refusing the emulated certificate and are tunnelled for a while (learned: in the config).

  clear WORD    forget the bypasses of a client address or a name, or the one of a key as --json shows it
  clear --all   forget all of them, and the refusals counted so far
  --json        the API's answer
`;

/** Runs the command. Resolves with its exit code: 0 done, 1 failed or nothing to forget, 2 wrong usage. */
export async function run(args: readonly string[], options: SessionsCommandOptions): Promise<number> {
  const order = parseOrder(args, options);
  if (typeof order === 'string') {
    options.stderr.write(`sallyport learned: ${order}\n`);
    return 2;
  }
  if (order.help) {
    options.stdout.write(help);
    return 0;
  }
  try {
    const client = await adminClient(order);
    return order.clear === null ? await list(client, order.json, options) : await clear(client, order.clear, options);
  } catch (caught) {
    if (!(caught instanceof AdminClientError)) throw caught;
    options.stderr.write(`sallyport learned: ${caught.message}\n`);
    return 1;
  }
}

interface Order {
  /** Words of what to forget, 'all' for everything; null: list. */
  readonly clear: readonly string[] | 'all' | null;
  readonly json: boolean;
  readonly help: boolean;
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
        json: { type: 'boolean', default: false }, all: { type: 'boolean', default: false }, help: { type: 'boolean', default: false, short: 'h' },
        admin: { type: 'string' }, 'token-file': { type: 'string' },
      },
    });
  } catch (caught) {
    return caught instanceof Error ? (caught.message.split('. ')[0] ?? caught.message) : String(caught);
  }
  const { values, positionals: [action, ...words] } = parsed;
  const common = { json: values.json, help: values.help, admin: values.admin ?? options.admin, tokenFile: values['token-file'] ?? options.tokenFile };
  if (action === undefined && !values.all) return { ...common, clear: null };
  if (action !== 'clear') return 'it lists, or clears: see sallyport learned --help';
  if (values.all === (words.length > 0)) return 'clear takes a client address, a name or a key, or --all';
  return { ...common, clear: values.all ? 'all' : words };
}

async function list(client: AdminClient, json: boolean, { stdout }: SessionsCommandOptions): Promise<number> {
  const answer = await listing(client);
  if (json) {
    stdout.write(`${JSON.stringify(answer, null, 2)}\n`);
    return 0;
  }
  if (answer.bypasses.length === 0) {
    stdout.write(answer.enabled ? 'nothing is bypassed\n' : 'nothing is learned: learned.enabled is false\n');
    return 0;
  }
  const rows = [['CLIENT', 'NAME', 'JA4', 'REFUSALS', 'SINCE', 'ENDS IN'], ...answer.bypasses.map(rowOf)];
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  for (const row of rows) stdout.write(`${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ').trimEnd()}\n`);
  return 0;
}

function rowOf({ client, name, ja4, refusals, since, until }: LearnedBypass): string[] {
  return [client, clean(name), clean(ja4 ?? '-'), String(refusals), new Date(since).toISOString(), spanText(Math.max(0, until - Date.now()))];
}

async function clear(client: AdminClient, what: readonly string[] | 'all', { stdout, stderr }: SessionsCommandOptions): Promise<number> {
  if (what === 'all') {
    stdout.write(`forgotten: ${await forget(client, null)}\n`);
    return 0;
  }
  const { bypasses } = await listing(client);
  const meant = bypasses.filter(({ key, client: address, name }) => what.some((word) => word === key || word === address || word.toLowerCase() === name));
  const strays = what.filter((word) => !meant.some(({ key, client: address, name }) => word === key || word === address || word.toLowerCase() === name));
  let forgotten = 0;
  for (const { key } of meant) forgotten += await forget(client, key);
  stdout.write(`forgotten: ${forgotten}\n`);
  for (const word of strays) stderr.write(`sallyport learned: nothing is bypassed for ${clean(word)}\n`);
  return strays.length === 0 ? 0 : 1;
}

async function forget(client: AdminClient, key: string | null): Promise<number> {
  const answer = await client.json('DELETE', `/api/learned${key === null ? '' : `?key=${encodeURIComponent(key)}`}`);
  if (typeof answer === 'object' && answer !== null && 'forgotten' in answer && typeof answer.forgotten === 'number') return answer.forgotten;
  throw new AdminClientError(`${client.address} does not answer as a gateway does`);
}

interface Listing {
  readonly enabled: boolean;
  readonly bypasses: readonly LearnedBypass[];
}

async function listing(client: AdminClient): Promise<Listing> {
  const answer = await client.json('GET', '/api/learned');
  if (!isListing(answer)) throw new AdminClientError(`${client.address} does not answer as a gateway does`);
  return answer;
}

// The gateway answers with its own types; these checks only tell it from something else on that port.

function isListing(value: unknown): value is Listing {
  return typeof value === 'object' && value !== null && 'enabled' in value && typeof value.enabled === 'boolean'
    && 'bypasses' in value && Array.isArray(value.bypasses) && value.bypasses.every(isBypass);
}

function isBypass(value: unknown): value is LearnedBypass {
  return typeof value === 'object' && value !== null && ['key', 'client', 'name', 'refusals', 'since', 'until'].every((key) => key in value);
}
