// The real ClientHellos of test/data/client-hellos with what other tools say of them, and a builder for hellos of our own.

import { readFileSync, readdirSync } from 'node:fs';

const folder = new URL('../data/client-hellos/', import.meta.url);

/** One entry of expected.json (made by independent tools from captures). */
export interface ExpectedHello {
  file: string;
  expect: {
    legacy_version: string;
    supported_versions: string[] | null;
    max_version: string;
    sni: string | null;
    alpn: string[];
    ja3: string;
    ja3_string: string;
    ja4: string;
    n_ciphers: number;
    n_extensions: number;
    groups: string[];
    key_shares: string[];
    sigalgs: string[];
    session_id_len: number;
    features: string[];
    record_version: string;
    raw_len: number;
  };
}

export const expectedHellos: ExpectedHello[] = JSON.parse(readFileSync(new URL('expected.json', folder), 'utf8'));
export const helloFiles = readdirSync(folder).filter((name) => name.endsWith('.hex'));

export function helloBytes(file: string): Buffer {
  return Buffer.from(readFileSync(new URL(file, folder), 'latin1').trim(), 'hex');
}

/** The same handshake bytes in records of at most `size` bytes. */
export function inRecords(hello: Buffer, size: number): Buffer {
  const message = hello.subarray(5);
  const records: Buffer[] = [];
  for (let at = 0; at < message.length; at += size) {
    const part = message.subarray(at, at + size);
    records.push(Buffer.from([0x16, hello[1] ?? 0, hello[2] ?? 0, part.length >> 8, part.length & 0xff]), part);
  }
  return Buffer.concat(records);
}

export interface HelloParts {
  legacyVersion?: number;
  ciphers?: number[];
  sessionId?: Buffer;
  compression?: Buffer;
  /** Undefined: no extensions block. */
  extensions?: readonly (readonly [number, Buffer])[];
  /** Bytes after the extensions block, inside the handshake message. */
  trailing?: Buffer;
}

/** A ClientHello in one record. */
export function buildHello(parts: HelloParts = {}): Buffer {
  const extensions = parts.extensions === undefined ? Buffer.alloc(0)
    : prefix16(Buffer.concat(parts.extensions.flatMap(([type, data]) => [number16(type), prefix16(data)])));
  const body = Buffer.concat([
    number16(parts.legacyVersion ?? 0x0303), Buffer.alloc(32, 0x42), prefix8(parts.sessionId ?? Buffer.alloc(0)),
    prefix16(numbers16(parts.ciphers ?? [0x1301, 0xc02b, 0xc02f])), prefix8(parts.compression ?? Buffer.from([0])),
    extensions, parts.trailing ?? Buffer.alloc(0),
  ]);
  const message = Buffer.concat([Buffer.from([1, body.length >> 16, (body.length >> 8) & 0xff, body.length & 0xff]), body]);
  const header = Buffer.from([0x16, 3, 1, message.length >> 8, message.length & 0xff]);
  return Buffer.concat([header, message]);
}

export function number16(value: number): Buffer {
  return Buffer.from([value >> 8, value & 0xff]);
}

export function numbers16(values: number[]): Buffer {
  return Buffer.concat(values.map(number16));
}

export function prefix16(data: Buffer): Buffer {
  return Buffer.concat([number16(data.length), data]);
}

export function prefix8(data: Buffer): Buffer {
  return Buffer.concat([Buffer.from([data.length]), data]);
}

/** A server_name extension with one host name. */
export function serverName(name: string | Buffer): readonly [number, Buffer] {
  const octets = typeof name === 'string' ? Buffer.from(name, 'latin1') : name;
  return [0, prefix16(Buffer.concat([Buffer.from([0]), prefix16(octets)]))];
}

/** An SSL version 2 CLIENT-HELLO. */
export function buildSslv2(version: number, kinds: number[], challengeBytes = 16): Buffer {
  const ciphers = Buffer.concat(kinds.map((kind) => Buffer.from([kind >> 16, (kind >> 8) & 0xff, kind & 0xff])));
  const rest = Buffer.concat([
    Buffer.from([1]), number16(version), number16(ciphers.length), number16(0), number16(challengeBytes), ciphers, Buffer.alloc(challengeBytes, 7),
  ]);
  return Buffer.concat([number16(0x8000 | rest.length), rest]);
}
