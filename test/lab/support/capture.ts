// Records TCP connections of a host with tcpdump and puts each direction together again as the bytes that were sent, so that a test can
// compare what a client and a server saw. It reads only what tcpdump wrote; it never changes traffic.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Host } from './host.ts';

/** One TCP connection as seen on an interface. */
export interface CapturedConnection {
  /** `ADDRESS:PORT` of the side that sent the first SYN. */
  readonly opener: string;
  readonly target: string;
  readonly fromOpener: Buffer;
  readonly fromTarget: Buffer;
}

export interface Capture {
  /** Ends the recording and answers its connections in the order of their SYNs. */
  stop(): Promise<CapturedConnection[]>;
}

const settleMs = 300;

/** Starts recording `filter` (pcap-filter(7)) on a device of the host; ready when tcpdump listens. */
export async function startCapture(host: Host, device: string, filter: string): Promise<Capture> {
  const file = join(host.folder, `capture-${device}-${Date.now()}.pcap`);
  const command = ['tcpdump', '-i', device, '--immediate-mode', '-U', '-n', '-s', '0', '-B', '16384', '-Z', 'root', '-w', file, filter];
  const program = await host.spawn(`tcpdump-${device}`, command, { says: /listening on/ });
  const stop = async (): Promise<CapturedConnection[]> => {
    // The last packets wait in the kernel's ring until tcpdump reads them.
    await sleep(settleMs);
    await program.stop();
    const dropped = /(\d+) packets dropped by kernel/.exec(program.output());
    if (Number(dropped?.[1] ?? 0) > 0) throw new Error(`tcpdump lost packets: ${program.output()}`);
    return connectionsOf(readFileSync(file));
  };
  return { stop };
}

interface Segment {
  readonly from: string;
  readonly to: string;
  readonly sequence: number;
  readonly syn: boolean;
  readonly opening: boolean;
  readonly payload: Buffer;
}

interface Stream {
  start: number;
  readonly parts: { readonly offset: number; readonly payload: Buffer }[];
}

/** Connections of a pcap file (Ethernet, little endian, as tcpdump writes it here). */
function connectionsOf(pcap: Buffer): CapturedConnection[] {
  const connections: { opener: string; target: string; streams: Map<string, Stream> }[] = [];
  const current = new Map<string, (typeof connections)[number]>();
  for (const segment of segmentsOf(pcap)) {
    const key = [segment.from, segment.to].toSorted().join(' ');
    if (segment.opening) {
      // A repeated SYN is the same connection; a new one on the same ports is not.
      const known = current.get(key)?.streams.get(segment.from);
      if (known?.start !== after(segment.sequence, 1)) {
        const connection = { opener: segment.from, target: segment.to, streams: new Map<string, Stream>() };
        connections.push(connection);
        current.set(key, connection);
      }
    }
    const connection = current.get(key);
    if (connection === undefined) continue;
    let stream = connection.streams.get(segment.from);
    if (stream === undefined || segment.syn) {
      stream = { start: after(segment.sequence, segment.syn ? 1 : 0), parts: stream?.parts ?? [] };
      connection.streams.set(segment.from, stream);
    }
    if (segment.payload.length > 0) stream.parts.push({ offset: (segment.sequence - stream.start) >>> 0, payload: segment.payload });
  }
  return connections.map(({ opener, target, streams }) => ({
    opener, target, fromOpener: joined(streams.get(opener)), fromTarget: joined(streams.get(target)),
  }));
}

/** The bytes of one direction in order, repeated segments once; throws when bytes are missing in the middle. */
function joined(stream: Stream | undefined): Buffer {
  const parts = (stream?.parts ?? []).toSorted((a, b) => a.offset - b.offset);
  const pieces: Buffer[] = [];
  let next = 0;
  for (const { offset, payload } of parts) {
    if (offset > next) throw new Error(`the capture misses ${offset - next} bytes at ${next}`);
    if (offset + payload.length <= next) continue;
    pieces.push(payload.subarray(next - offset));
    next = offset + payload.length;
  }
  return Buffer.concat(pieces);
}

/** Offsets are counted from the stream's start modulo 2^32: streams in tests stay below 2 GiB. */
function after(sequence: number, step: number): number {
  return (sequence + step) >>> 0;
}

function* segmentsOf(pcap: Buffer): Generator<Segment> {
  const magicLittleEndian = 0xa1b2c3d4;
  const linkTypeEthernet = 1;
  if (pcap.readUInt32LE(0) !== magicLittleEndian || pcap.readUInt32LE(20) !== linkTypeEthernet) throw new Error('not a pcap file of Ethernet frames');
  for (let at = 24; at + 16 <= pcap.length;) {
    const length = pcap.readUInt32LE(at + 8);
    const segment = segmentOf(pcap.subarray(at + 16, at + 16 + length));
    if (segment !== null) yield segment;
    at += 16 + length;
  }
}

function segmentOf(frame: Buffer): Segment | null {
  const type = frame.readUInt16BE(12);
  const packet = frame.subarray(14);
  if (type === 0x0800) {
    const headerBytes = (packet.readUInt8(0) & 0x0f) * 4;
    const address = (offset: number): string => [...packet.subarray(offset, offset + 4)].join('.');
    return tcpOf(packet.subarray(headerBytes, packet.readUInt16BE(2)), address(12), address(16));
  }
  if (type === 0x86dd) {
    const address = (offset: number): string => packet.subarray(offset, offset + 16).toString('hex');
    return tcpOf(packet.subarray(40, 40 + packet.readUInt16BE(4)), address(8), address(24));
  }
  return null;
}

function tcpOf(tcp: Buffer, fromIp: string, toIp: string): Segment {
  const flags = tcp.readUInt8(13);
  const syn = (flags & 0x02) !== 0;
  return {
    from: `${fromIp}:${tcp.readUInt16BE(0)}`,
    to: `${toIp}:${tcp.readUInt16BE(2)}`,
    sequence: tcp.readUInt32BE(4),
    syn,
    opening: syn && (flags & 0x10) === 0,
    payload: tcp.subarray((tcp.readUInt8(12) >> 4) * 4),
  };
}
