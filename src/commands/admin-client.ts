// The command line's side of the admin API: requests by undici, the token from its file, faults as one line that says
// what to do next. It never retries by itself.

import { readFile } from 'node:fs/promises';
import { request } from 'undici';

export interface AdminClientOptions {
  /** Where the admin listener is: `host:port` or a URL. */
  readonly admin: string;
  /** File with the token; without one, or when it cannot be read, requests go without. */
  readonly tokenFile: string | null;
}

/** What went wrong, fit to be shown as it is. */
export class AdminClientError extends Error {
  override readonly name = 'AdminClientError';
}

export interface AdminClient {
  readonly address: string;
  /** The JSON of an answer. Rejects with AdminClientError. */
  json(method: 'GET' | 'POST' | 'DELETE', path: string, body?: unknown): Promise<unknown>;
  /** The text of an answer that goes on, piece by piece, until the signal ends it. Rejects with AdminClientError. */
  text(path: string, headers: Readonly<Record<string, string>>, signal: AbortSignal): Promise<AsyncIterable<string>>;
}

/** A client of one admin listener. Reads the token file once, now. */
export async function adminClient(options: AdminClientOptions): Promise<AdminClient> {
  const base = URL.parse(options.admin.includes('://') ? options.admin : `http://${options.admin}`);
  if (base === null) throw new AdminClientError(`${options.admin} is not an address: give host:port`);
  const token = options.tokenFile === null ? null : await tokenOf(options.tokenFile);
  const authorization: Record<string, string> = token === null ? {} : { authorization: `Bearer ${token}` };
  const ask = async (method: 'GET' | 'POST' | 'DELETE', path: string, headers: Readonly<Record<string, string>>, body: string | null, signal: AbortSignal | null) => {
    try {
      return await request(new URL(path, base), { method, headers: { ...authorization, ...headers }, body, signal });
    } catch (caught) {
      throw new AdminClientError(unreachable(base.host, caught), { cause: caught });
    }
  };
  return {
    address: base.host,
    async json(method, path, body) {
      const answer = await ask(method, path, body === undefined ? {} : { 'content-type': 'application/json' }, body === undefined ? null : JSON.stringify(body), null);
      const value = await parsed(answer.body);
      if (answer.statusCode >= 400) throw new AdminClientError(refusal(answer.statusCode, value, options.tokenFile, token !== null));
      return value;
    },
    async text(path, headers, signal) {
      const answer = await ask('GET', path, headers, null, signal);
      if (answer.statusCode >= 400) throw new AdminClientError(refusal(answer.statusCode, await parsed(answer.body), options.tokenFile, token !== null));
      return answer.body.setEncoding('utf8');
    },
  };
}

async function tokenOf(file: string): Promise<string | null> {
  try {
    return (await readFile(file, 'utf8')).trim() || null;
  } catch {
    // Reading needs no token on loopback; where one is needed, the answer says so.
    return null;
  }
}

async function parsed(body: { text(): Promise<string> }): Promise<unknown> {
  try {
    const value: unknown = JSON.parse(await body.text());
    return value;
  } catch {
    return null;
  }
}

function unreachable(address: string, caught: unknown): string {
  const code = caught instanceof Error && 'code' in caught ? String(caught.code) : String(caught);
  if (code === 'ECONNREFUSED') return `no gateway answers at ${address}: start one with \`./sallyport run\`, or name another with --admin HOST:PORT`;
  return `the gateway at ${address} cannot be asked (${code})`;
}

function refusal(status: number, value: unknown, tokenFile: string | null, tokenSent: boolean): string {
  const message = typeof value === 'object' && value !== null && 'message' in value ? String(value.message) : `the gateway answered ${status}`;
  if (status !== 401 && status !== 403) return message;
  if (tokenSent) return `${message} (token of ${tokenFile ?? 'no file'})`;
  return tokenFile === null ? `${message} Name it with --token-file FILE.` : `${message} ${tokenFile} cannot be read: name another with --token-file FILE, or run as the gateway's user.`;
}
