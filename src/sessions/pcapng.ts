// Captures as Wireshark reads them: pcapng blocks (draft-ietf-opsawg-pcapng) and, for bytes that never were on a wire in this form, IP packets with
// a TCP header made for them. Pure; it keeps no bytes and opens no file.

import { parseAddress } from '../core/addresses.ts';
import type { Endpoint } from '../core/session.ts';

const blockTypes = { section: 0x0a0d0d0a, interface: 1, packet: 6, secrets: 10 } as const;
const optionComment = 1;
const optionHardware = 4;
const optionName = 2;
/** LINKTYPE_RAW: packets begin with their IP header. */
const linkRaw = 101;
/** Secrets in the form of NSS key logs. */
const tlsKeyLog = 0x544c534b;

/** What a capture file begins with: its section and its one interface. */
export function captureHead(application: string): Buffer {
  const section = Buffer.alloc(16);
  section.writeUInt32LE(0x1a2b3c4d, 0);
  section.writeUInt16LE(1, 4);
  // Length of the section: not known.
  section.fill(0xff, 8);
  const wire = Buffer.alloc(8);
  wire.writeUInt16LE(linkRaw, 0);
  return Buffer.concat([
    block(blockTypes.section, section, option(optionHardware, 'bytes as they were between TLS and the gateway, in TCP headers made for them'), option(optionName + 2, application), endOfOptions),
    block(blockTypes.interface, wire, option(optionName, 'decrypted'), endOfOptions),
  ]);
}

/** TLS secrets of a session, so that captures of its encrypted side can be read with this file. */
export function secretsBlock(lines: string): Buffer {
  const text = Buffer.from(lines);
  const head = Buffer.alloc(8);
  head.writeUInt32LE(tlsKeyLog, 0);
  head.writeUInt32LE(text.length, 4);
  return block(blockTypes.secrets, head, padded(text));
}

/** A packet at a time in milliseconds since the epoch (fractions count), with a comment where there is one. */
export function packetBlock(timeMs: number, packet: readonly Buffer[], comment: string | null = null): Buffer {
  const length = packet.reduce((sum, part) => sum + part.length, 0);
  const micros = BigInt(Math.round(timeMs * 1000));
  const head = Buffer.alloc(20);
  head.writeUInt32LE(Number(micros >> 32n), 4);
  head.writeUInt32LE(Number(micros & 0xffffffffn), 8);
  head.writeUInt32LE(length, 12);
  head.writeUInt32LE(length, 16);
  const options = comment === null ? [] : [option(optionComment, comment), endOfOptions];
  return block(blockTypes.packet, head, ...packet, Buffer.alloc(-length & 3), ...options);
}

const endOfOptions = Buffer.alloc(4);

function option(code: number, text: string): Buffer {
  const value = Buffer.from(text);
  const head = Buffer.alloc(4);
  head.writeUInt16LE(code, 0);
  head.writeUInt16LE(value.length, 2);
  return Buffer.concat([head, padded(value)]);
}

function padded(bytes: Buffer): Buffer {
  return (bytes.length & 3) === 0 ? bytes : Buffer.concat([bytes, Buffer.alloc(-bytes.length & 3)]);
}

function block(type: number, ...parts: readonly Buffer[]): Buffer {
  const length = parts.reduce((sum, part) => sum + part.length, 12);
  const bytes = Buffer.allocUnsafe(length);
  bytes.writeUInt32LE(type, 0);
  bytes.writeUInt32LE(length, 4);
  let at = 8;
  for (const part of parts) at += part.copy(bytes, at);
  bytes.writeUInt32LE(length, at);
  return bytes;
}

const flagBits = { fin: 1, syn: 2, push: 8, ack: 16 } as const;
/** Payload of one packet: with its headers it stays below 64 KiB, the most an IP packet holds. */
const segmentBytesMax = 60_000;
const tcpBytes = 20;

/**
 * One TCP connection made up for bytes: packets with right addresses, ports, sequence numbers and flags. Checksums of TCP are left at 0, as
 * network cards with offloading leave them in captures.
 */
export class MadeConnection {
  readonly #ends: readonly [client: Buffer, server: Buffer];
  readonly #ports: readonly [client: number, server: number];
  readonly #ipv6: boolean;
  /** Next sequence number of client and server. */
  readonly #next: [number, number] = [0, 0];

  constructor(client: Endpoint, server: Endpoint) {
    const ends = [octetsOf(client.ip), octetsOf(server.ip)];
    this.#ipv6 = ends.some(({ length }) => length === 16);
    const [near = Buffer.alloc(4), far = Buffer.alloc(4)] = this.#ipv6 ? ends.map(asIpv6) : ends;
    this.#ends = [near, far];
    this.#ports = [client.port, server.port];
  }

  /** The three packets of its beginning. */
  open(): Buffer[][] {
    return [this.#packet(0, flagBits.syn, null), this.#packet(1, flagBits.syn | flagBits.ack, null), this.#packet(0, flagBits.ack, null)];
  }

  /** Packets that carry bytes of one side, in order. */
  data(from: 'client' | 'server', bytes: Buffer): Buffer[][] {
    const packets: Buffer[][] = [];
    for (let at = 0; at < bytes.length; at += segmentBytesMax) {
      packets.push(this.#packet(from === 'client' ? 0 : 1, flagBits.push | flagBits.ack, bytes.subarray(at, at + segmentBytesMax)));
    }
    return packets;
  }

  /** The packets of an orderly end. */
  close(): Buffer[][] {
    return [this.#packet(0, flagBits.fin | flagBits.ack, null), this.#packet(1, flagBits.fin | flagBits.ack, null), this.#packet(0, flagBits.ack, null)];
  }

  #packet(side: 0 | 1, flags: number, payload: Buffer | null): Buffer[] {
    const other = side === 0 ? 1 : 0;
    const tcp = Buffer.alloc(tcpBytes);
    tcp.writeUInt16BE(this.#ports[side], 0);
    tcp.writeUInt16BE(this.#ports[other], 2);
    tcp.writeUInt32BE(this.#next[side], 4);
    if ((flags & flagBits.ack) !== 0) tcp.writeUInt32BE(this.#next[other], 8);
    tcp[12] = (tcpBytes / 4) << 4;
    tcp[13] = flags;
    tcp.writeUInt16BE(0xffff, 14);
    const takes = (payload?.length ?? 0) + ((flags & (flagBits.syn | flagBits.fin)) === 0 ? 0 : 1);
    this.#next[side] = (this.#next[side] + takes) >>> 0;
    const head = this.#ipHead(side, other, tcpBytes + (payload?.length ?? 0));
    return payload === null ? [head, tcp] : [head, tcp, payload];
  }

  #ipHead(side: 0 | 1, other: 0 | 1, length: number): Buffer {
    if (this.#ipv6) {
      const head = Buffer.alloc(40);
      head[0] = 0x60;
      head.writeUInt16BE(length, 4);
      head[6] = 6;
      head[7] = 64;
      this.#ends[side].copy(head, 8);
      this.#ends[other].copy(head, 24);
      return head;
    }
    const head = Buffer.alloc(20);
    head[0] = 0x45;
    head.writeUInt16BE(20 + length, 2);
    head[8] = 64;
    head[9] = 6;
    this.#ends[side].copy(head, 12);
    this.#ends[other].copy(head, 16);
    head.writeUInt16BE(headerChecksum(head), 10);
    return head;
  }
}

/** The octets of an address; of 0.0.0.0 where it is none. */
function octetsOf(ip: string): Buffer {
  const address = parseAddress(ip);
  const octets = Buffer.alloc(address?.family === 6 ? 16 : 4);
  for (let word = 0; word * 4 < octets.length; word += 1) octets.writeUInt32BE(address?.words[word] ?? 0, word * 4);
  return octets;
}

/** RFC 1071. */
function headerChecksum(head: Buffer): number {
  let sum = 0;
  for (let at = 0; at < head.length; at += 2) sum += head.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** An IPv4 address beside an IPv6 one (a proxy's client) is written as mapped. */
function asIpv6(address: Buffer): Buffer {
  return address.length === 16 ? address : Buffer.concat([Buffer.alloc(10), Buffer.from([0xff, 0xff]), address]);
}
