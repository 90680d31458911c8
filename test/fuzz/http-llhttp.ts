// The differential oracle: Node's own llhttp in strict mode, reached through its parser class, and a seeded generator of
// HTTP messages that are mostly right and wrong in one or two places.

import { createRequire } from 'node:module';

interface Parser {
  initialize(kind: number, resource: object): void;
  execute(bytes: Buffer): number | Error;
  finish(): Error | undefined;
  close(): void;
  [callback: number]: (...values: unknown[]) => number | undefined;
}
interface ParserClass {
  new (): Parser;
  readonly REQUEST: number;
  readonly RESPONSE: number;
  readonly kOnHeaders: number;
  readonly kOnHeadersComplete: number;
  readonly kOnBody: number;
  readonly kOnMessageComplete: number;
}
/** Node 24: not documented, but the very parser of node:http; a test fails when it is gone. */
const { HTTPParser } = createRequire(import.meta.url)('_http_common') as { HTTPParser: ParserClass };

export interface OracleMessage {
  readonly start: string;
  body: string;
  complete: boolean;
}

export interface OracleAnswer {
  readonly messages: OracleMessage[];
  /** llhttp's code for what it refuses, null when all bytes were taken. */
  readonly refused: string | null;
  readonly reason: string | null;
}

/** Its number comes after those of RTSP's methods, which Node leaves out of the list. */
const lastMethod = 'QUERY';
const methodNames = (createRequire(import.meta.url)('_http_common') as { methods: readonly string[] }).methods;

/** What llhttp makes of a stream. */
export function askLlhttp(kind: 'request' | 'response', bytes: Buffer): OracleAnswer {
  const parser = new HTTPParser();
  const messages: OracleMessage[] = [];
  parser.initialize(kind === 'request' ? HTTPParser.REQUEST : HTTPParser.RESPONSE, {});
  // After trailers the parser hands the next message's target over early, with its first fields.
  let early = '';
  parser[HTTPParser.kOnHeaders] = (_fields, url) => {
    early += String(url);
    return undefined;
  };
  parser[HTTPParser.kOnHeadersComplete] = (...values) => {
    const [, minor, , method, url, status] = values as [number, number, unknown, number, string, number];
    const target = (url as string | undefined) ?? early;
    early = '';
    messages.push({ start: kind === 'request' ? `${methodNames[method] ?? lastMethod} ${target} ${String(minor)}` : `${String(status)} ${String(minor)}`, body: '', complete: false });
    return 0;
  };
  parser[HTTPParser.kOnBody] = (part) => {
    const last = messages.at(-1);
    if (last !== undefined) last.body += (part as Buffer).toString('latin1');
    return undefined;
  };
  parser[HTTPParser.kOnMessageComplete] = () => {
    const last = messages.at(-1);
    early = '';
    if (last !== undefined) last.complete = true;
    return undefined;
  };
  const answer = parser.execute(bytes);
  parser.close();
  if (typeof answer === 'number') return { messages, refused: null, reason: null };
  const { code, reason } = answer as Error & { code: string; reason: string };
  return { messages, refused: code, reason };
}

/** A small seeded generator of numbers (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

type Random = () => number;
const pick = <T>(random: Random, list: readonly [T, ...T[]]): T => list[Math.floor(random() * list.length)] ?? list[0];

/** A stream of one to three messages, some of them broken in one or two places. */
export function generate(kind: 'request' | 'response', random: Random): Buffer {
  let text = '';
  const count = 1 + Math.floor(random() * 3);
  for (let index = 0; index < count; index += 1) text += message(kind, random);
  const mutations = pick(random, [0, 0, 1, 1, 2] as const);
  for (let index = 0; index < mutations; index += 1) text = mutate(text, random);
  return Buffer.from(text, 'latin1');
}

const targets = ['/', '/a?b=c', '/%20', '*', 'http://a/x', '/a b', '/\xe4', '/a#b', '/|', 'x', '', '/"<>', 'a:443', '//a', 'http://u@a/'] as const;
const methods = ['GET', 'POST', 'HEAD', 'PUT', 'OPTIONS', 'DELETE', 'PATCH', 'G', 'get', 'G(T', ''] as const;
const versions = ['HTTP/1.1', 'HTTP/1.1', 'HTTP/1.1', 'HTTP/1.0', 'HTTP/1.2', 'HTTP/2.0', 'HTTP/0.9', 'http/1.1', 'HTTP/11', 'HTTP/1.1 '] as const;
const ends = ['\r\n', '\r\n', '\r\n', '\r\n', '\r\n', '\r\n', '\r\n', '\r\n', '\n', '\r', '\r\r\n', '\r\n ', '\r\n\t'] as const;
const statuses = ['200 OK', '200', '204 No Content', '304 Not Modified', '404 Not Found', '500 \xe4', '99 x', '1000 x', '200OK', '2x0 OK', '100 Continue', '206 '] as const;
const fields = [
  'Content-Length: 3', 'Content-Length: 3', 'Content-Length:3', 'content-length:  3  ', 'Content-Length: 03', 'Content-Length: +3', 'Content-Length: 3, 3', 'Content-Length: ',
  'Content-Length: 3x', 'Content-Length: 99999999999999999999', 'Content-Length : 3', 'Transfer-Encoding: chunked', 'Transfer-Encoding: chunked', 'Transfer-encoding:chunked ',
  'Transfer-Encoding: gzip, chunked', 'Transfer-Encoding: gzip', 'Transfer-Encoding: chunked, chunked', 'Transfer-Encoding: identity', 'Transfer-Encoding: Chunked', 'Transfer-Encoding: xchunked',
  'Transfer-Encoding: \x0bchunked', 'Transfer-Encoding: chunked;x', 'Transfer-Encoding:', 'X: y', 'X:', 'X:y\t', 'X : y', 'X\0: y', 'X: \0', 'X: \x01', 'X: \x7f', 'X: \xff', ': y', 'X', ' X: y', 'X(: y',
  'X: a\rb', 'X: a\nb', 'Connection: keep-alive', 'Connection: close', 'Connection: x, close', 'Host: b', 'Host: a/b', 'Expect: 100-continue', 'Keep-Alive: x', 'TE: trailers', 'Trailer: X',
] as const;
const chunks = [
  '3\r\nabc\r\n', '3\r\nabc\r\n', '03\r\nabc\r\n', 'A\r\n0123456789\r\n', 'a\r\n0123456789\r\n', '3;a=b\r\nabc\r\n', '3;a="b c"\r\nabc\r\n', '3;a="b\\"c"\r\nabc\r\n', '3;a;b=c\r\nabc\r\n', '3; a=b\r\nabc\r\n',
  '3 ;a\r\nabc\r\n', '3 \r\nabc\r\n', ' 3\r\nabc\r\n', '3;\r\nabc\r\n', '3;a=\r\nabc\r\n', '3;a=b;\r\nabc\r\n', '3;=b\r\nabc\r\n', '3\nabc\r\n', '3\r\nabc\n', '3\r\nabcd\r\n', '3\r\nab\r\n', '+3\r\nabc\r\n', '0x3\r\nabc\r\n', '-3\r\nabc\r\n',
  '\r\nabc\r\n', 'fffffffffffffffff\r\n', '3;a=\0\r\nabc\r\n', '3;a="b\r\nabc\r\n', '3;a=b"c\r\nabc\r\n', '3;a=(\r\nabc\r\n', '3_0\r\nabc\r\n',
] as const;
const trailers = ['', '', '', '', 'X: y\r\n', 'X: y\r\nZ:\r\n', 'Content-Length: 3\r\n', 'Transfer-Encoding: chunked\r\n', 'X : y\r\n', ' X: y\r\n', 'X: y\n', 'X\r\n', ': y\r\n', 'X: \0\r\n', 'X: a\r\n b\r\n'] as const;
const lastChunks = ['0\r\n', '0\r\n', '0\r\n', '0\r\n', '000\r\n', '0;a=b\r\n', '0\n', '0 \r\n', ''] as const;

function message(kind: 'request' | 'response', random: Random): string {
  const usually = <T>(list: readonly [T, ...T[]]): T => (random() < 0.9 ? list[0] : pick(random, list));
  const end = (): string => (random() < 0.97 ? '\r\n' : pick(random, ends));
  let text = kind === 'request' ? `${usually(methods)} ${usually(targets)} ${usually(versions)}${end()}` : `${usually(versions)} ${usually(statuses)}${end()}`;
  if (kind === 'request' && random() < 0.97) text += `Host: a${end()}`;
  const body = random();
  const count = Math.floor(random() * 3);
  for (let index = 0; index < count; index += 1) text += `${random() < 0.6 ? 'X: y' : pick(random, fields)}${end()}`;
  if (body < 0.35) text += `Content-Length: 3${end()}`;
  else if (body < 0.75) text += `Transfer-Encoding: chunked${end()}`;
  else if (kind === 'response') text += `Content-Length: 0${end()}`;
  text += end();
  if (body < 0.35) return `${text}abc`;
  if (body >= 0.75) return text;
  const parts = Math.floor(random() * 3);
  for (let index = 0; index < parts; index += 1) text += random() < 0.7 ? '3\r\nabc\r\n' : pick(random, chunks);
  return `${text}${random() < 0.9 ? '0\r\n' : pick(random, lastChunks)}${random() < 0.8 ? '' : pick(random, trailers)}\r\n`;
}

const inserts = ['\0', '\r', '\n', '\r\n', ' ', '\t', ':', ';', ',', '\x0b', '\x7f', '\xa0', '0', '"', 'chunked', 'Content-Length: 1\r\n'] as const;

function mutate(text: string, random: Random): string {
  const at = Math.floor(random() * text.length);
  const how = random();
  if (how < 0.4) return text.slice(0, at) + pick(random, inserts) + text.slice(at);
  if (how < 0.7) return text.slice(0, at) + text.slice(at + 1);
  if (how < 0.9) return text.slice(0, at) + String.fromCharCode(Math.floor(random() * 256)) + text.slice(at + 1);
  return text.slice(0, at);
}
