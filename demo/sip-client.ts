// A small real SIP client over TLS for the demo and the tests: registers with digest, keeps alive, asks OPTIONS, makes a
// call and ends it, and reports what it met. It verifies the server's certificate as SIP clients of this field do.

import { randomUUID } from 'node:crypto';
import { connect as tcpConnect } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect as tlsConnect } from 'node:tls';
import type { TLSSocket } from 'node:tls';
import { authParams, digestResponse, headerOf, sipBytes, SipReader, statusOf } from './sip-message.ts';
import type { SipItem, SipMessage } from './sip-message.ts';
import { demoUsers } from './sip-server.ts';

export interface SipClientOptions {
  readonly host: string;
  readonly port: number;
  /** PEM of the issuer to trust: the gateway's when the way leads through it. */
  readonly ca: string | Buffer;
  readonly servername: string;
  /** A way to the server other than TCP to host and port: a proxy's tunnel. TLS is spoken on it. */
  readonly connect?: () => Duplex | Promise<Duplex>;
  readonly user?: string;
  readonly password?: string;
  /** Longest silence. */
  readonly timeoutMs?: number;
}

/** What the client met, step by step; null or empty where it did not get so far. */
export interface SipReport {
  /** Null when all went well. */
  failure: string | null;
  tls: { readonly version: string; readonly issuer: string } | null;
  register: { readonly statuses: readonly number[]; readonly expiresSeconds: number | null } | null;
  /** Milliseconds to the pong of a keep-alive. */
  pongMs: number | null;
  options: number | null;
  invite: readonly number[];
  /** Null when the call was refused. */
  bye: number | null;
}

const timeoutMsDefault = 10_000;

/** Runs the conversation. Never rejects: what ended it (a certificate that does not verify, silence, a refusal) is in the report. */
export async function runSipClient(options: SipClientOptions): Promise<SipReport> {
  const report: SipReport = { failure: null, tls: null, register: null, pongMs: null, options: null, invite: [], bye: null };
  try {
    const socket = await secured(options);
    report.tls = { version: socket.getProtocol() ?? '', issuer: String(socket.getPeerCertificate().issuer.CN ?? '') };
    try {
      await converse(new Phone(socket, options), report);
    } finally {
      socket.destroy();
    }
  } catch (caught) {
    report.failure = caught instanceof Error ? caught.message : String(caught);
  }
  return report;
}

async function converse(phone: Phone, report: SipReport): Promise<void> {
  report.register = await phone.register();
  if (report.register.statuses.at(-1) !== 200) throw new Error(`not registered: ${report.register.statuses.join(', ')}`);
  report.pongMs = await phone.ping();
  report.options = statusOf((await phone.request('OPTIONS', phone.server)).final);
  Object.assign(report, await phone.call());
  if (report.bye !== 200) throw new Error(`the call did not go through: ${report.invite.join(', ')}`);
}

async function secured(options: SipClientOptions): Promise<TLSSocket> {
  const way = (await options.connect?.()) ?? tcpConnect({ host: options.host, port: options.port });
  return await new Promise((resolve, reject) => {
    way.once('error', reject);
    const socket = tlsConnect({ socket: way, servername: options.servername, ca: options.ca });
    socket.setTimeout(options.timeoutMs ?? timeoutMsDefault, () => socket.destroy(new Error('the SIP server fell silent')));
    socket.once('error', reject).once('secureConnect', () => {
      socket.off('error', reject);
      resolve(socket);
    });
  });
}

interface Exchange {
  readonly statuses: number[];
  readonly final: SipMessage;
}

/** One connection's conversation: one request at a time. */
class Phone {
  readonly server: string;
  readonly #socket: TLSSocket;
  readonly #reader = new SipReader();
  readonly #items: SipItem[] = [];
  readonly #user: string;
  readonly #password: string;
  readonly #me: string;
  readonly #callId = randomUUID();
  readonly #tag = randomUUID();
  #sequence = 0;
  #failure: Error | null = null;
  #wake: (() => void) | null = null;

  constructor(socket: TLSSocket, options: SipClientOptions) {
    this.#socket = socket;
    this.server = `sip:${options.servername}`;
    this.#user = options.user ?? 'alice';
    this.#password = options.password ?? demoUsers[this.#user] ?? '';
    this.#me = `sip:${this.#user}@${options.servername}`;
    const fail = (error: Error): void => {
      this.#failure ??= error;
      this.#wake?.();
    };
    socket.on('error', fail).on('close', () => fail(new Error('the SIP server closed the connection')));
    socket.on('data', (chunk: Buffer) => {
      try {
        this.#items.push(...this.#reader.push(chunk));
      } catch (error) {
        fail(error instanceof Error ? error : new Error(String(error)));
      }
      this.#wake?.();
    });
  }

  /** Registers for ten minutes, answering one digest challenge. */
  async register(): Promise<NonNullable<SipReport['register']>> {
    const contact = [`Contact: <sip:${this.#user}@127.0.0.1;transport=tls>`, 'Expires: 600', 'User-Agent: Sallyport-Demo/1.0'];
    const first = await this.request('REGISTER', this.server, contact);
    if (statusOf(first.final) !== 401) return { statuses: first.statuses, expiresSeconds: null };
    const { realm = '', nonce = '' } = authParams(headerOf(first.final, 'www-authenticate'));
    const params = { realm, nonce, uri: this.server, nc: '00000001', cnonce: randomUUID() };
    const response = digestResponse(this.#user, this.#password, 'REGISTER', params);
    const credentials = `Authorization: Digest username="${this.#user}", realm="${realm}", nonce="${nonce}", uri="${this.server}", qop=auth, nc=${params.nc}, cnonce="${params.cnonce}", response="${response}", algorithm=MD5`;
    const second = await this.request('REGISTER', this.server, [...contact, credentials]);
    const expires = /;expires=(\d+)/.exec(headerOf(second.final, 'contact'))?.[1];
    return { statuses: [...first.statuses, ...second.statuses], expiresSeconds: expires === undefined ? null : Number(expires) };
  }

  /** A double line end, answered by a single one (RFC 5626 section 4.4.1). */
  async ping(): Promise<number> {
    const startedAt = performance.now();
    this.#socket.write('\r\n\r\n');
    while ((await this.#next()) !== 'pong');
    return performance.now() - startedAt;
  }

  /** Calls bob; a call that is answered is acknowledged and ended, one that is refused is acknowledged (RFC 3261 section 17.1.1.3). */
  async call(): Promise<Pick<SipReport, 'invite' | 'bye'>> {
    const target = this.#me.replace(`sip:${this.#user}@`, 'sip:bob@');
    const body = ['v=0', 'o=- 1 1 IN IP4 127.0.0.1', 's=demo', 'c=IN IP4 127.0.0.1', 't=0 0', 'm=audio 40000 RTP/AVP 0 8', 'a=rtpmap:0 PCMU/8000', 'a=rtpmap:8 PCMA/8000', ''].join('\r\n');
    const branch = newBranch();
    const invited = await this.request('INVITE', target, ['Contact: <sip:alice@127.0.0.1;transport=tls>', 'Content-Type: application/sdp'], body, branch);
    const to = headerOf(invited.final, 'to');
    const answered = statusOf(invited.final) < 300;
    this.#send('ACK', target, [], '', answered ? newBranch() : branch, to);
    if (!answered) return { invite: invited.statuses, bye: null };
    const ended = await this.request('BYE', target, [], '', newBranch(), to);
    return { invite: invited.statuses, bye: statusOf(ended.final) };
  }

  /** Sends a request and waits for its final response. */
  async request(method: string, uri: string, more: readonly string[] = [], body = '', branch = newBranch(), to?: string): Promise<Exchange> {
    this.#sequence += 1;
    this.#send(method, uri, more, body, branch, to ?? (method === 'REGISTER' ? `<${this.#me}>` : `<${uri}>`));
    const statuses: number[] = [];
    for (;;) {
      const item = await this.#next();
      if (typeof item === 'string' || statusOf(item) === 0 || headerOf(item, 'cseq') !== `${this.#sequence} ${method}`) continue;
      statuses.push(statusOf(item));
      if (statusOf(item) >= 200) return { statuses, final: item };
    }
  }

  #send(method: string, uri: string, more: readonly string[], body: string, branch: string, to: string): void {
    this.#socket.write(sipBytes(`${method} ${uri} SIP/2.0`, [
      `Via: SIP/2.0/TLS 127.0.0.1:5061;branch=${branch};rport`, 'Max-Forwards: 70', `From: <${this.#me}>;tag=${this.#tag}`, `To: ${to}`,
      `Call-ID: ${this.#callId}-${method === 'REGISTER' ? 'registration' : method === 'OPTIONS' ? 'options' : 'call'}`, `CSeq: ${this.#sequence} ${method}`, ...more,
    ], body));
  }

  async #next(): Promise<SipItem> {
    for (;;) {
      const item = this.#items.shift();
      if (item !== undefined) return item;
      if (this.#failure !== null) throw this.#failure;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}

/** A transaction's branch: RFC 3261 section 8.1.1.7's cookie and something unique. */
function newBranch(): string {
  return `z9hG4bK${randomUUID()}`;
}
