// The SIP side of a small Skype for Business deployment: challenges with NTLM, Kerberos and TLS-DSK, completes TLS-DSK, signs every
// answer and checks every signature from then on (MS-SIPAE), hands out provisioning and media relay credentials (MS-AVEDGEA).

import { randomBytes, randomUUID } from 'node:crypto';
import type { Socket } from 'node:net';
import { authParams, headerOf, methodOf, sipBytes, SipReader, type SipMessage } from '../../../demo/sip-message.ts';
import { signature, TlsDskServer, type Association } from './tls-dsk.ts';

export interface SipOptions {
  readonly host: string;
  /** URI of the certificate provisioning service. */
  readonly stsUri: string;
  /** PEM. */
  readonly certificate: string;
  readonly privateKey: string;
  readonly relay: { readonly host: string; readonly port: number; readonly user: string; readonly password: string };
}

/** What a connection did, told when it ends. */
export interface SipRecord {
  readonly kind: 'sip';
  readonly from: string;
  readonly challenges: number;
  /** Messages of the client whose signature fits, and whose does not. */
  readonly signed: number;
  readonly unsigned: number;
  readonly badSignatures: number;
  readonly methods: Readonly<Record<string, number>>;
  readonly mras: number;
  readonly pings: number;
  readonly failure: string | null;
}

const realm = 'SIP Communications Service';
const mrasType = 'application/msrtc-media-relay-auth+xml';
const provisioningEvent = 'vnd-microsoft-provisioning-v2';

/** Serves one connection; `log` gets its record once it has ended. */
export function serveLyncSip(socket: Socket, options: SipOptions, log: (record: SipRecord) => void): void {
  const connection = new Connection(socket, options);
  socket.on('error', () => socket.destroy());
  socket.on('data', (chunk: Buffer) => connection.push(chunk));
  socket.on('close', () => log(connection.record()));
}

class Connection {
  readonly #socket: Socket;
  readonly #options: SipOptions;
  readonly #from: string;
  readonly #reader = new SipReader();
  readonly #counts = { challenges: 0, signed: 0, unsigned: 0, badSignatures: 0, mras: 0, pings: 0 };
  readonly #methods: Record<string, number> = {};
  readonly #opaque = randomBytes(4).toString('hex');
  #handshake: TlsDskServer | null = null;
  #association: Association | null = null;
  #number = 0;
  #failure: string | null = null;

  constructor(socket: Socket, options: SipOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#from = `${socket.remoteAddress ?? ''}:${socket.remotePort ?? 0}`;
  }

  record(): SipRecord {
    return { kind: 'sip', from: this.#from, ...this.#counts, methods: this.#methods, failure: this.#failure };
  }

  push(chunk: Buffer): void {
    try {
      for (const item of this.#reader.push(chunk)) {
        if (item === 'ping') this.#counts.pings += 1;
        else if (item !== 'pong') this.#message(item);
      }
    } catch (error) {
      this.#failure = error instanceof Error ? error.message : String(error);
      this.#socket.end();
    }
  }

  #message(message: SipMessage): void {
    const method = methodOf(message);
    if (method === '') return;
    this.#methods[method] = (this.#methods[method] ?? 0) + 1;
    const given = authParams(headerOf(message, 'authorization'));
    if (this.#association === null && method === 'REGISTER') return this.#authenticate(message, given);
    if (!this.#isSigned(message, given)) {
      this.#answer(message, '401 Unauthorized', this.#challenge(''));
      return;
    }
    if (method !== 'ACK') this.#serve(message, method);
  }

  #authenticate(message: SipMessage, given: Readonly<Record<string, string>>): void {
    this.#counts.challenges += 1;
    const data = given['gssapi-data'];
    if (data === undefined || data === '') {
      this.#answer(message, '401 Unauthorized', ['NTLM', 'Kerberos'].map((scheme) => `WWW-Authenticate: ${scheme} realm="${realm}", targetname="${this.#options.host}", version=4`).concat(this.#challenge('')));
      return;
    }
    this.#handshake ??= new TlsDskServer(this.#options.certificate, this.#options.privateKey);
    const answer = this.#handshake.next(Buffer.from(data, 'base64'));
    this.#association = this.#handshake.association;
    this.#answer(message, '401 Unauthorized', this.#challenge(`, gssapi-data="${answer.toString('base64')}"`), '', false);
  }

  #challenge(data: string): string[] {
    const { host, stsUri } = this.#options;
    return [`WWW-Authenticate: TLS-DSK opaque="${this.#opaque}"${data}, targetname="${host}", realm="${realm}", version=4, sts-uri="${stsUri}"`];
  }

  #isSigned(message: SipMessage, given: Readonly<Record<string, string>>): boolean {
    const { response } = given;
    if (this.#association === null || response === undefined) {
      this.#counts.unsigned += 1;
      return false;
    }
    const text = signingText(message, methodOf(message), given['crand'] ?? '', given['cnum'] ?? '', this.#options.host, '');
    const fits = signature(this.#association, 'client', text) === response.toLowerCase();
    this.#counts[fits ? 'signed' : 'badSignatures'] += 1;
    return fits;
  }

  #serve(message: SipMessage, method: string): void {
    const event = headerOf(message, 'event');
    const type = headerOf(message, 'content-type');
    if (method === 'REGISTER') {
      const contact = headerOf(message, 'contact');
      const gone = headerOf(message, 'expires') === '0';
      this.#answer(message, '200 OK', gone ? [] : [
        `Contact: ${contact};expires=7200`, 'Expires: 7200', 'Server: RTC/6.0', 'Supported: msrtc-event-categories', 'Supported: adhoclist', `Allow-Events: ${provisioningEvent}`,
        'ms-user-logon-data: RemoteUser', 'ms-keep-alive: UAS; tcp=no; hop-hop=yes; end-end=no; timeout=300',
      ]);
    } else if (method === 'SUBSCRIBE') {
      const isProvisioning = event === provisioningEvent;
      const body = isProvisioning ? provisioning(this.#options.host) : '';
      this.#answer(message, '200 OK', [
        `Event: ${event}`, 'Expires: 3600', 'subscription-state: active;expires=3600', `Contact: <sip:${this.#options.host}:443;transport=tls>`,
        ...(isProvisioning ? ['ms-piggyback-cseq: 1', 'Content-Type: application/vnd-microsoft-roaming-provisioning-v2+xml'] : []),
      ], body);
    } else if (method === 'SERVICE' && type.startsWith(mrasType)) {
      this.#counts.mras += 1;
      this.#answer(message, '200 OK', [`Content-Type: ${mrasType}`], credentials(this.#options, /requestID="([^"]*)"/.exec(message.body)?.[1] ?? ''));
    } else {
      this.#answer(message, '200 OK', []);
    }
  }

  #answer(message: SipMessage, status: string, more: readonly string[], body = '', signed = true): void {
    const to = headerOf(message, 'to');
    const headers = [
      ...(message.headers.get('via') ?? []).map((via) => `Via: ${via}`), `From: ${headerOf(message, 'from')}`, `To: ${to.includes(';tag=') ? to : `${to};tag=${randomUUID()}`}`,
      `Call-ID: ${headerOf(message, 'call-id')}`, `CSeq: ${headerOf(message, 'cseq')}`, ...more,
    ];
    this.#socket.write(sipBytes(`SIP/2.0 ${status}`, signed && this.#association !== null ? [...headers, this.#signed(this.#association, headers, methodOf(message), status.slice(0, 3))] : headers, body));
  }

  #signed(association: Association, headers: readonly string[], method: string, status: string): string {
    this.#number += 1;
    const [rand, number, { host }] = [randomBytes(4).toString('hex').toUpperCase(), String(this.#number), this.#options];
    const value = (name: string): string => headers.find((line) => line.toLowerCase().startsWith(`${name}: `))?.slice(name.length + 2) ?? '';
    const answer: SipMessage = { startLine: '', body: '', headers: new Map(['call-id', 'cseq', 'from', 'to', 'expires'].map((name) => [name, [value(name)]])) };
    const rspauth = signature(association, 'server', signingText(answer, method, rand, number, host, status));
    return `Authentication-Info: TLS-DSK qop="auth", opaque="${this.#opaque}", srand="${rand}", snum="${number}", rspauth="${rspauth}", targetname="${host}", realm="${realm}", version=4`;
  }
}

/** MS-SIPAE section 3.1.4.2 for version 4: the fields of a message that are signed, in order, each in angle brackets. */
function signingText(message: SipMessage, method: string, rand: string, number: string, target: string, status: string): string {
  const [from, to] = [headerOf(message, 'from'), headerOf(message, 'to')];
  const url = (value: string): string => /<([^>]*)>/.exec(value)?.[1] ?? '';
  const tag = (value: string): string => /;tag=([^;]*)/.exec(value)?.[1] ?? '';
  const fields = [
    'TLS-DSK', rand, number, realm, target, headerOf(message, 'call-id'), headerOf(message, 'cseq').split(' ')[0] ?? '', method, url(from), tag(from), url(to), tag(to),
    '', '', headerOf(message, 'expires'), ...(status === '' ? [] : [status]),
  ];
  return fields.map((field) => `<${field}>`).join('');
}

function provisioning(host: string): string {
  return `<?xml version="1.0"?><provisionGroupList xmlns="http://schemas.microsoft.com/2006/09/sip/provisiongrouplist-notification"><provisionGroup name="ServerConfiguration"><mrasUri>sip:${host};gruu;opaque=srvr:MRAS:lab</mrasUri></provisionGroup></provisionGroupList>`;
}

function credentials({ relay }: SipOptions, requestId: string): string {
  const base64 = (text: string): string => Buffer.from(text, 'latin1').toString('base64');
  return [
    `<?xml version="1.0"?><response xmlns="http://schemas.microsoft.com/2006/09/sip/mrasp" requestID="${requestId}" version="2.0" serverVersion="2.0" reasonPhrase="OK"><credentialsResponse credentialsRequestID="1">`,
    `<credentials><username>${base64(relay.user)}</username><password>${base64(relay.password)}</password><duration>480</duration></credentials>`,
    `<mediaRelayList><mediaRelay><location>internet</location><hostName>${relay.host}</hostName><udpPort>3478</udpPort><tcpPort>${relay.port}</tcpPort></mediaRelay></mediaRelayList>`,
    '</credentialsResponse></response>',
  ].join('');
}
