// A small real SIP registrar and callee over TLS for the demo and the tests: digest registration, OPTIONS, keep-alives, and
// calls that it answers itself. It keeps registrations in memory and is no server for the world.

import { randomUUID } from 'node:crypto';
import { createServer } from 'node:tls';
import type { TLSSocket } from 'node:tls';
import { authParams, digestResponse, headerOf, methodOf, sipBytes, SipReader } from './sip-message.ts';
import type { SipMessage } from './sip-message.ts';

export interface SipServerOptions {
  readonly host: string;
  /** 0 for any free port. */
  readonly port: number;
  /** PEM. */
  readonly key: string | Buffer;
  readonly cert: string | Buffer;
  /** Passwords by user; alice and bob when absent. */
  readonly users?: Readonly<Record<string, string>>;
}

export interface SipServer {
  readonly port: number;
  /** Users with a binding now. */
  registered(): readonly string[];
  close(): Promise<void>;
}

/** Users of the demo; its client registers as alice. */
export const demoUsers: Readonly<Record<string, string>> = { alice: 'open sesame', bob: 'wonderland' };
const realm = 'sallyport demo';
const expiresMaxSeconds = 3600;

/** One client's connection: what it was challenged with. */
interface Peer {
  readonly users: Readonly<Record<string, string>>;
  readonly bindings: Set<string>;
  readonly nonce: string;
}

/** Starts the registrar; rejects when it cannot listen. */
export async function startSipServer(options: SipServerOptions): Promise<SipServer> {
  const sockets = new Set<TLSSocket>();
  const bindings = new Set<string>();
  const server = createServer({ key: options.key, cert: options.cert }, (socket) => {
    sockets.add(socket);
    serve(socket, { users: options.users ?? demoUsers, bindings, nonce: randomUUID() });
    socket.on('close', () => sockets.delete(socket));
  });
  // A client that ends its handshake is its own affair.
  server.on('tlsClientError', () => undefined);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(options.port, options.host, resolve);
  });
  const address = server.address();
  return {
    port: address !== null && typeof address === 'object' ? address.port : options.port,
    registered: () => [...bindings],
    close: () => new Promise((resolve) => {
      for (const socket of sockets) socket.destroy();
      server.close(() => resolve());
    }),
  };
}

function serve(socket: TLSSocket, peer: Peer): void {
  const reader = new SipReader();
  socket.on('error', () => socket.destroy());
  socket.on('data', (chunk: Buffer) => {
    try {
      for (const item of reader.push(chunk)) {
        if (item === 'ping') socket.write('\r\n');
        else if (item !== 'pong') for (const answer of answers(item, peer)) socket.write(answer);
      }
    } catch {
      socket.end();
    }
  });
}

/** The answers to one request, in order; none to an ACK or a response. */
function answers(message: SipMessage, peer: Peer): Buffer[] {
  switch (methodOf(message)) {
    case 'REGISTER':
      return [register(message, peer)];
    case 'INVITE': {
      const tag = randomUUID();
      return [
        answer(message, '100 Trying'),
        answer(message, '180 Ringing', [], '', tag),
        answer(message, '200 OK', ['Contact: <sip:demo@127.0.0.1;transport=tls>', 'Content-Type: application/sdp'], sdp, tag),
      ];
    }
    case 'OPTIONS':
      return [answer(message, '200 OK', ['Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, REGISTER, MESSAGE'])];
    case 'BYE':
    case 'CANCEL':
    case 'MESSAGE':
      return [answer(message, '200 OK')];
    case 'ACK':
    case '':
      return [];
    default:
      return [answer(message, '501 Not Implemented')];
  }
}

function register(message: SipMessage, peer: Peer): Buffer {
  const user = /sips?:([^@>;]+)@/.exec(headerOf(message, 'to'))?.[1] ?? '';
  const password = Object.hasOwn(peer.users, user) ? peer.users[user] : undefined;
  const given = authParams(headerOf(message, 'authorization'));
  const proven = password !== undefined && given['username'] === user && given['nonce'] === peer.nonce && given['realm'] === realm
    && given['response'] === digestResponse(user, password, 'REGISTER', given);
  if (!proven) return answer(message, '401 Unauthorized', [`WWW-Authenticate: Digest realm="${realm}", nonce="${peer.nonce}", algorithm=MD5, qop="auth"`]);
  const contact = headerOf(message, 'contact');
  const wanted = Number(/;expires=(\d+)/.exec(contact)?.[1] ?? (headerOf(message, 'expires') || String(expiresMaxSeconds)));
  const expires = Math.min(wanted, expiresMaxSeconds);
  if (expires === 0) peer.bindings.delete(user);
  else peer.bindings.add(user);
  const binding = expires === 0 || contact === '' ? [] : [`Contact: ${contact.replace(/;expires=\d+/, '')};expires=${expires}`];
  return answer(message, '200 OK', [...binding, 'Server: Sallyport-Demo/1.0']);
}

const sdp = ['v=0', 'o=- 1 1 IN IP4 127.0.0.1', 's=demo', 'c=IN IP4 127.0.0.1', 't=0 0', 'm=audio 40002 RTP/AVP 0', 'a=rtpmap:0 PCMU/8000', ''].join('\r\n');

/** A response with the request's Via, From, To, Call-ID and CSeq (RFC 3261 section 8.2.6.2). */
function answer(message: SipMessage, status: string, more: readonly string[] = [], body = '', tag: string = randomUUID()): Buffer {
  const to = headerOf(message, 'to');
  return sipBytes(`SIP/2.0 ${status}`, [
    ...(message.headers.get('via') ?? []).map((via) => `Via: ${via}`),
    `From: ${headerOf(message, 'from')}`,
    `To: ${to.includes(';tag=') || status.startsWith('100') ? to : `${to};tag=${tag}`}`,
    `Call-ID: ${headerOf(message, 'call-id')}`,
    `CSeq: ${headerOf(message, 'cseq')}`,
    ...more,
  ], body);
}
