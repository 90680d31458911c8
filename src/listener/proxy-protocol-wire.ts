// The PROXY protocol on the wire, versions 1 and 2 (HAProxy's proxy-protocol.txt): who the client of a load balancer is and where it meant
// to go. Pure; bounds-checked; judged the same at every split of the bytes; never throws.

import { isIPv4, isIPv6 } from 'node:net';
import { Cursor } from '../core/bytes.ts';
import type { Endpoint } from '../core/session.ts';

/** A whole header. Addresses are null where the sender speaks for itself (LOCAL, UNKNOWN, health checks). */
export interface ProxyHeader {
  readonly version: 1 | 2;
  readonly source: Endpoint | null;
  readonly destination: Endpoint | null;
  /** Bytes of the header; what follows is the client's. */
  readonly lengthBytes: number;
}

const signature1 = Buffer.from('PROXY ', 'latin1');
const signature2 = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');
/** The longest line of version 1, its end included. */
const line1BytesMax = 107;

/** Reads the header that a stream begins with; 'no' as soon as it cannot be one, or is longer than `bytesMax`. */
export function readProxyHeader(bytes: Buffer, bytesMax: number): ProxyHeader | 'more' | 'no' {
  if (begins(bytes, signature2)) return bytes.length < signature2.length ? 'more' : readVersion2(bytes, bytesMax);
  if (begins(bytes, signature1)) return bytes.length < signature1.length ? 'more' : readVersion1(bytes);
  return 'no';
}

/** Whether the bytes are, as far as they go, those of the signature. */
function begins(bytes: Buffer, signature: Buffer): boolean {
  const length = Math.min(bytes.length, signature.length);
  return bytes.compare(signature, 0, length, 0, length) === 0;
}

const line1 = /^PROXY (?:UNKNOWN(?: [\x20-\x7e]*)?|(TCP4|TCP6) ([0-9a-fA-F.:]+) ([0-9a-fA-F.:]+) (0|[1-9]\d{0,4}) (0|[1-9]\d{0,4}))$/;

function readVersion1(bytes: Buffer): ProxyHeader | 'more' | 'no' {
  const end = bytes.subarray(0, line1BytesMax).indexOf('\r\n', 0, 'latin1');
  if (end < 0) return bytes.length >= line1BytesMax ? 'no' : 'more';
  const match = line1.exec(bytes.toString('latin1', 0, end));
  if (match === null) return 'no';
  const lengthBytes = end + 2;
  const [, family, sourceIp, destinationIp, sourcePort, destinationPort] = match;
  if (family === undefined) return { version: 1, source: null, destination: null, lengthBytes };
  const source = endpoint(family, sourceIp, sourcePort);
  const destination = endpoint(family, destinationIp, destinationPort);
  return source === null || destination === null ? 'no' : { version: 1, source, destination, lengthBytes };
}

function endpoint(family: string, ip = '', port = ''): Endpoint | null {
  const right = family === 'TCP4' ? isIPv4(ip) : isIPv6(ip);
  return right && Number(port) <= 65_535 ? { ip: shortIp(ip), port: Number(port) } : null;
}

const commandLocal = 0x20;
const commandProxy = 0x21;
const tcp4 = 0x11;
const tcp6 = 0x21;
/** Families that carry no address we could use: unspecified, and sockets of the file system. */
const withoutAddress: Readonly<Record<number, number>> = { 0x00: 0, 0x31: 216 };

function readVersion2(bytes: Buffer, bytesMax: number): ProxyHeader | 'more' | 'no' {
  const cursor = new Cursor(bytes, signature2.length);
  const command = cursor.u8();
  if (command === undefined) return 'more';
  if (command !== commandLocal && command !== commandProxy) return 'no';
  const family = cursor.u8();
  const length = cursor.u16();
  if (family === undefined || length === undefined) return 'more';
  const lengthBytes = cursor.offset + length;
  if (lengthBytes > bytesMax) return 'no';
  const body = cursor.sub(length);
  if (body === undefined) return 'more';
  const none: ProxyHeader = { version: 2, source: null, destination: null, lengthBytes };
  // What a LOCAL header holds is to be thrown away, whatever it is.
  if (command === commandLocal) return none;
  const header = family === tcp4 || family === tcp6 ? addresses(body, family === tcp4 ? 4 : 16, lengthBytes) : skipped(body, withoutAddress[family], none);
  return header === null || !goodTlvs(body, bytes.subarray(0, lengthBytes)) ? 'no' : header;
}

function addresses(body: Cursor, addressBytes: 4 | 16, lengthBytes: number): ProxyHeader | null {
  const source = body.slice(addressBytes);
  const destination = body.slice(addressBytes);
  const sourcePort = body.u16();
  const destinationPort = body.u16();
  if (source === undefined || destination === undefined || sourcePort === undefined || destinationPort === undefined) return null;
  return {
    version: 2, lengthBytes,
    source: { ip: ipText(source), port: sourcePort },
    destination: { ip: ipText(destination), port: destinationPort },
  };
}

function skipped(body: Cursor, addressBytes: number | undefined, header: ProxyHeader): ProxyHeader | null {
  return addressBytes === undefined || body.slice(addressBytes) === undefined ? null : header;
}

const tlvChecksum = 0x03;

/** Whether the rest is whole type-length-value entries, and the checksum among them, if any, is right. */
function goodTlvs(body: Cursor, header: Buffer): boolean {
  while (body.left > 0) {
    const type = body.u8();
    const length = body.u16();
    const value = length === undefined ? undefined : body.slice(length);
    if (value === undefined) return false;
    if (type === tlvChecksum && (value.length !== 4 || crc32c(header, body.offset - 4) !== value.readUInt32BE(0))) return false;
  }
  return true;
}

/** CRC-32C (RFC 3720 appendix B.4) of the bytes with the four at `zeroAt` taken as zero. */
export function crc32c(bytes: Buffer, zeroAt: number): number {
  let crc = 0xffffffff;
  for (let at = 0; at < bytes.length; at += 1) {
    crc ^= at >= zeroAt && at < zeroAt + 4 ? 0 : (bytes[at] ?? 0);
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ ((crc & 1) === 0 ? 0 : 0x82f63b78);
  }
  return (crc ^ 0xffffffff) >>> 0;
}

function ipText(address: Buffer): string {
  if (address.length === 4) return address.join('.');
  const groups = Array.from({ length: 8 }, (_unused, index) => address.readUInt16BE(2 * index).toString(16));
  return shortIp(groups.join(':'));
}

/** As the rest of the gateway writes addresses: short, and IPv4 where it is mapped into IPv6. */
function shortIp(ip: string): string {
  if (!ip.includes(':')) return ip;
  const short = new URL(`http://[${ip}]`).hostname.slice(1, -1);
  const [, high, low] = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(short) ?? [];
  if (high === undefined || low === undefined) return short;
  const words = [Number.parseInt(high, 16), Number.parseInt(low, 16)];
  return words.flatMap((word) => [word >>> 8, word & 0xff]).join('.');
}
