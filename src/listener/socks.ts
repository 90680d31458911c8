// The SOCKS entry: versions 4, 4a and 5 with CONNECT, names resolved by the gateway, optional user and password (RFC 1928, RFC 1929).
// It answers success only once the destination is reached. Wire parsing is in socks-wire.ts.

import type { Socket } from 'node:net';
import { entryRefusal } from '../core/entry-verdict.ts';
import { errorTable, FlowError, toFlowError } from '../core/errors.ts';
import type { Entry, EntryDeps, Flow } from '../core/flow.ts';
import { answerSocks4, answerSocks5, chooseMethod, passwordAnswer, readSocks } from './socks-wire.ts';
import type { SocksRequest } from './socks-wire.ts';

/** Checks a user's password; null: the service needs none. */
export type PasswordCheck = ((user: string, password: string) => Promise<boolean>) | null;

/** Serves the revocation host to a client that was told it is connected to it. */
export type ServeRevocation = (flow: Flow, deps: EntryDeps) => Promise<'done'>;

/** The entry of `socks` services. Without `serveRevocation` the revocation host is left to the handler of what is inside. */
export function socksEntry(check: PasswordCheck, serveRevocation: ServeRevocation | null = null): Entry {
  return {
    async enter(flow, deps) {
      flow.session.chain.push('socks');
      const request = await converse(flow, deps, check);
      const { session, raw } = flow;
      // What a client of SOCKS 4 calls itself is proven by nothing: rules must not go by it.
      if (check !== null) session.user = request.user;
      session.destination.host = request.host;
      session.destination.ip = request.ip;
      session.destination.port = request.port;
      const granted = request.version === 4 ? answerSocks4(true) : answerSocks5('succeeded');
      // Revocation data is for everyone, whatever policy says, and nothing is dialled for it.
      const revocation = deps.revocation.isHost(`${request.host ?? request.ip ?? ''}:${String(request.port)}`);
      if (revocation && serveRevocation !== null) {
        raw.write(granted);
        return await serveRevocation(flow, deps);
      }
      const refusal = entryRefusal(session, deps);
      if (refusal !== null) return await refuse(raw, request, refusal);
      try {
        if (!revocation) await deps.dialEarly(session);
      } catch (caught) {
        return await refuse(raw, request, toFlowError(caught));
      }
      raw.write(granted);
      return { ...flow, repliedBytes: raw.bytesWritten };
    },
  };
}

async function refuse(raw: Socket, request: SocksRequest, error: FlowError): Promise<never> {
  raw.end(request.version === 4 ? answerSocks4(false) : answerSocks5(replyFor(error)));
  return await Promise.reject(error);
}

function replyFor(error: FlowError): Parameters<typeof answerSocks5>[0] {
  if (error.code === 'DIAL_REFUSED') return 'refused';
  if (error.code === 'DNS_FAILED') return 'host-unreachable';
  if (error.code === 'DIAL_TIMEOUT') return 'ttl-expired';
  if (error.code === 'DIAL_UNREACHABLE') return 'network-unreachable';
  return errorTable[error.code].stage === 'policy' || error.code === 'DIAL_LOOP' ? 'not-allowed' : 'failure';
}

/** Speaks with the client up to its request; bytes after it are back in the stream. */
async function converse(flow: Flow, deps: EntryDeps, check: PasswordCheck): Promise<SocksRequest> {
  const { raw } = flow;
  const reader = new Reader(raw, deps.limits.socksMs);
  try {
    let user: string | null = null;
    const greeting = await reader.next((bytes) => readSocks(bytes, 'greeting'));
    if (greeting.kind === 'request') {
      if (check !== null) return await refuse(raw, greeting, new FlowError('AUTH_REQUIRED', 'SOCKS 4 has no passwords'));
      if (greeting.command !== 'connect') return await refuse(raw, greeting, new FlowError('SOCKS_MALFORMED', 'only CONNECT is served'));
      return greeting;
    }
    const method = greeting.kind === 'methods' ? chooseMethod(greeting.methods, check !== null) : null;
    if (method === null) {
      raw.end(Buffer.from([5, 0xff]));
      throw new FlowError('AUTH_REQUIRED', 'the client offers no method the service takes');
    }
    raw.write(Buffer.from([5, method]));
    if (check !== null) {
      const login = await reader.next((bytes) => readSocks(bytes, 'password'));
      const right = login.kind === 'login' && (await check(login.user, login.password));
      if (!right || login.kind !== 'login') {
        raw.end(passwordAnswer(false));
        throw new FlowError('AUTH_REQUIRED', 'wrong user or password');
      }
      raw.write(passwordAnswer(true));
      user = login.user;
    }
    const request = await reader.next((bytes) => readSocks(bytes, 'request')).catch((caught: unknown) => {
      if (caught instanceof FlowError && caught.code === 'SOCKS_MALFORMED') raw.end(answerSocks5('failure'));
      throw caught;
    });
    if (request.kind !== 'request') throw new FlowError('SOCKS_MALFORMED');
    if (request.command !== 'connect') {
      raw.end(answerSocks5('command-not-supported'));
      throw new FlowError('SOCKS_MALFORMED', 'only CONNECT is served');
    }
    return { ...request, user };
  } finally {
    reader.release();
  }
}

/** Reads one message after another off the socket; what follows the last one is put back. */
class Reader {
  readonly #raw: Socket;
  readonly #waitMs: number;
  #bytes: Buffer = Buffer.alloc(0);

  constructor(raw: Socket, waitMs: number) {
    this.#raw = raw;
    this.#waitMs = waitMs;
  }

  next<T extends { readonly length: number }>(read: (bytes: Buffer) => T | 'more' | 'no'): Promise<T> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => settle(new FlowError('FIRST_BYTES_STALLED')), this.#waitMs);
      const settle = (answer: T | FlowError): void => {
        clearTimeout(timer);
        this.#raw.off('data', onData);
        this.#raw.off('end', onEnd);
        this.#raw.off('close', onEnd);
        this.#raw.pause();
        if (answer instanceof FlowError) reject(answer);
        else resolve(answer);
      };
      const judge = (): boolean => {
        const answer = read(this.#bytes);
        if (answer === 'more') return false;
        if (answer !== 'no') this.#bytes = this.#bytes.subarray(answer.length);
        settle(answer === 'no' ? new FlowError('SOCKS_MALFORMED') : answer);
        return true;
      };
      const onData = (chunk: Buffer): void => {
        this.#bytes = Buffer.concat([this.#bytes, chunk]);
        judge();
      };
      const onEnd = (): void => settle(new FlowError('CLIENT_CLOSED_EARLY'));
      if (this.#bytes.length > 0 && judge()) return;
      if (this.#raw.destroyed || this.#raw.readableEnded) return onEnd();
      this.#raw.on('data', onData);
      this.#raw.on('end', onEnd);
      this.#raw.on('close', onEnd);
      this.#raw.resume();
    });
  }

  release(): void {
    if (this.#bytes.length > 0 && !this.#raw.destroyed) this.#raw.unshift(this.#bytes);
  }
}
