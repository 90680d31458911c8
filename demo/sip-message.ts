// SIP messages as the demo's registrar and client need them: cutting a stream into messages, building answers, digest.
// Enough for two well-behaved peers of our own; the gateway's framer and scanner are in src/sip and share nothing with it.

import { createHash } from 'node:crypto';

/** A whole message. `headers` holds values by lower-case long name, in order. */
export interface SipMessage {
  readonly startLine: string;
  readonly headers: ReadonlyMap<string, readonly string[]>;
  readonly body: string;
}

/** What a stream brings: a message, a keep-alive ping (two line ends) or pong (one). */
export type SipItem = SipMessage | 'ping' | 'pong';

const messageBytesMax = 64 * 1024;
const compactNames: Readonly<Record<string, string>> = { v: 'via', f: 'from', t: 'to', i: 'call-id', m: 'contact', l: 'content-length', c: 'content-type' };

/** Cuts a stream into messages. Throws on what is no SIP: a demo peer then closes. */
export class SipReader {
  #pending = Buffer.alloc(0);

  push(chunk: Buffer): SipItem[] {
    this.#pending = Buffer.concat([this.#pending, chunk]);
    const items: SipItem[] = [];
    for (let item = this.#next(); item !== null; item = this.#next()) items.push(item);
    if (this.#pending.length > messageBytesMax) throw new Error('a SIP message is too large');
    return items;
  }

  #next(): SipItem | null {
    const bytes = this.#pending;
    for (const [text, item] of [['\r\n\r\n', 'ping'], ['\r\n', 'pong']] as const) {
      if (bytes.subarray(0, text.length).equals(Buffer.from(text))) return this.#take(text.length, item);
    }
    const end = bytes.indexOf('\r\n\r\n');
    if (end < 0) return null;
    const [startLine = '', ...lines] = bytes.toString('utf8', 0, end).replace(/\r\n[ \t]+/g, ' ').split('\r\n');
    if (!startLine.includes('SIP/2.0')) throw new Error('not SIP');
    const headers = headersIn(lines);
    const length = Number(headers.get('content-length')?.[0] ?? '0');
    if (!Number.isInteger(length) || length < 0) throw new Error('a SIP message without a length');
    const bodyStart = end + '\r\n\r\n'.length;
    if (bytes.length < bodyStart + length) return null;
    return this.#take(bodyStart + length, { startLine, headers, body: bytes.toString('utf8', bodyStart, bodyStart + length) });
  }

  #take<Item>(length: number, item: Item): Item {
    this.#pending = this.#pending.subarray(length);
    return item;
  }
}

/** The bytes of a message with its Content-Length. */
export function sipBytes(startLine: string, headers: readonly string[], body = ''): Buffer {
  return Buffer.from([startLine, ...headers, `Content-Length: ${Buffer.byteLength(body)}`, '', body].join('\r\n'));
}

/** The method of a request, '' for a response; the status of a response, 0 for a request. */
export function methodOf(message: SipMessage): string {
  return message.startLine.startsWith('SIP/2.0 ') ? '' : (message.startLine.split(' ')[0] ?? '');
}

export function statusOf(message: SipMessage): number {
  return message.startLine.startsWith('SIP/2.0 ') ? Number(message.startLine.slice(8, 11)) : 0;
}

/** The first value of a header, '' when absent. */
export function headerOf(message: SipMessage, name: string): string {
  return message.headers.get(name)?.[0] ?? '';
}

/** The parameters of a challenge or of credentials, unquoted. */
export function authParams(value: string): Record<string, string> {
  return Object.fromEntries([...value.matchAll(/([\w-]+)=(?:"([^"]*)"|([^\s,]+))/g)].map((match) => [match[1] ?? '', match[2] ?? match[3] ?? '']));
}

/** The response of RFC 7616 with MD5 and qop=auth: what SIP clients of this field still use. */
export function digestResponse(user: string, password: string, method: string, params: Readonly<Record<string, string>>): string {
  const md5 = (text: string): string => createHash('md5').update(text).digest('hex');
  const { realm = '', nonce = '', nc = '', cnonce = '', uri = '' } = params;
  return md5(`${md5(`${user}:${realm}:${password}`)}:${nonce}:${nc}:${cnonce}:auth:${md5(`${method}:${uri}`)}`);
}

function headersIn(lines: readonly string[]): Map<string, string[]> {
  const headers = new Map<string, string[]>();
  for (const line of lines) {
    const colon = line.indexOf(':');
    const word = line.slice(0, Math.max(0, colon)).trim().toLowerCase();
    const name = compactNames[word] ?? word;
    headers.set(name, [...(headers.get(name) ?? []), line.slice(colon + 1).trim()]);
  }
  return headers;
}
