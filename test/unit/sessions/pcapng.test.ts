import { describe, expect, it } from 'vitest';
import { captureHead, MadeConnection, packetBlock, secretsBlock } from '../../../src/sessions/pcapng.ts';

/** Blocks of a file, as the draft says they are parted: type, length, body, and the length again. */
function blocksOf(file: Buffer): { type: number; body: Buffer }[] {
  const blocks: { type: number; body: Buffer }[] = [];
  for (let at = 0; at < file.length;) {
    const length = file.readUInt32LE(at + 4);
    expect(length % 4).toBe(0);
    expect(file.readUInt32LE(at + length - 4)).toBe(length);
    blocks.push({ type: file.readUInt32LE(at), body: file.subarray(at + 8, at + length - 4) });
    at += length;
  }
  return blocks;
}

/** The facts of a packet's headers. */
function packetOf(parts: readonly Buffer[]) {
  const bytes = Buffer.concat(parts);
  const ipv6 = (bytes[0] ?? 0) >> 4 === 6;
  const ipBytes = ipv6 ? 40 : 20;
  const tcp = bytes.subarray(ipBytes);
  const length = ipv6 ? bytes.readUInt16BE(4) + 40 : bytes.readUInt16BE(2);
  expect(length).toBe(bytes.length);
  return { from: tcp.readUInt16BE(0), to: tcp.readUInt16BE(2), sequence: tcp.readUInt32BE(4), acknowledged: tcp.readUInt32BE(8), flags: tcp[13], payload: tcp.subarray(20).toString() };
}

describe('pcapng', () => {
  it('begins with a section and one interface of raw IP', () => {
    const [section, wire] = blocksOf(captureHead('Sallyport'));
    expect(section?.type).toBe(0x0a0d0d0a);
    expect(section?.body.readUInt32LE(0)).toBe(0x1a2b3c4d);
    expect(section?.body.includes('Sallyport')).toBe(true);
    expect(wire?.type).toBe(1);
    expect(wire?.body.readUInt16LE(0)).toBe(101);
  });

  it.each([0, 1, 2, 3, 4, 5])('pads packets of %i octets, keeps time in microseconds and the comment', (length) => {
    const [only] = blocksOf(packetBlock(1_700_000_000_123.456, [Buffer.alloc(length, 7)], 'why'));
    expect(only?.type).toBe(6);
    const micros = (BigInt(only?.body.readUInt32LE(4) ?? 0) << 32n) | BigInt(only?.body.readUInt32LE(8) ?? 0);
    expect(micros).toBe(1_700_000_000_123_456n);
    expect([only?.body.readUInt32LE(12), only?.body.readUInt32LE(16)]).toEqual([length, length]);
    expect(only?.body.subarray(20, 20 + length)).toEqual(Buffer.alloc(length, 7));
    expect(only?.body.includes('why')).toBe(true);
  });

  it('embeds TLS secrets as a key log', () => {
    const [only] = blocksOf(secretsBlock('CLIENT_RANDOM 00 11\n'));
    expect(only?.type).toBe(10);
    expect(only?.body.readUInt32LE(0)).toBe(0x544c534b);
    expect(only?.body.subarray(8, 8 + (only.body.readUInt32LE(4)))).toEqual(Buffer.from('CLIENT_RANDOM 00 11\n'));
  });
});

describe('a made connection', () => {
  it('counts sequence numbers on both sides, from handshake to farewell', () => {
    const connection = new MadeConnection({ ip: '10.0.0.1', port: 40_000 }, { ip: '192.0.2.1', port: 5060 });
    const packets = [...connection.open(), ...connection.data('client', Buffer.from('hello')), ...connection.data('server', Buffer.from('ok')), ...connection.close()].map(packetOf);
    expect(packets).toMatchObject([
      { from: 40_000, to: 5060, sequence: 0, flags: 2 }, { from: 5060, to: 40_000, sequence: 0, acknowledged: 1, flags: 18 }, { sequence: 1, acknowledged: 1, flags: 16 },
      { from: 40_000, sequence: 1, acknowledged: 1, flags: 24, payload: 'hello' }, { from: 5060, sequence: 1, acknowledged: 6, flags: 24, payload: 'ok' },
      { from: 40_000, sequence: 6, acknowledged: 3, flags: 17 }, { from: 5060, sequence: 3, acknowledged: 7, flags: 17 }, { sequence: 7, acknowledged: 4, flags: 16 },
    ]);
  });

  it('cuts what no packet holds, without a gap', () => {
    const connection = new MadeConnection({ ip: '2001:db8::1', port: 1 }, { ip: '2001:db8::2', port: 2 });
    const packets = connection.data('server', Buffer.alloc(150_000, 'x')).map(packetOf);
    expect(packets.map(({ payload }) => payload.length).reduce((sum, length) => sum + length, 0)).toBe(150_000);
    expect(packets.map(({ sequence }) => sequence)).toEqual(packets.map((_packet, index) => packets.slice(0, index).reduce((sum, { payload }) => sum + payload.length, 0)));
    for (const { payload } of packets) expect(payload.length).toBeLessThan(65_000);
  });

  it('writes an IPv4 client of an IPv6 server as mapped, and no address as 0.0.0.0', () => {
    const [first = []] = new MadeConnection({ ip: '10.0.0.1', port: 1 }, { ip: '2001:db8::2', port: 2 }).open();
    expect(Buffer.concat(first).subarray(8, 24).toString('hex')).toBe('00000000000000000000ffff0a000001');
    const [second = []] = new MadeConnection({ ip: '10.0.0.1', port: 1 }, { ip: 'not one', port: 2 }).open();
    expect(Buffer.concat(second).subarray(12, 20)).toEqual(Buffer.from([10, 0, 0, 1, 0, 0, 0, 0]));
  });

  it('has an IPv4 header whose sum is right', () => {
    const [first = []] = new MadeConnection({ ip: '10.0.0.1', port: 1 }, { ip: '192.0.2.1', port: 2 }).open();
    const head = Buffer.concat(first).subarray(0, 20);
    let sum = 0;
    for (let at = 0; at < 20; at += 2) sum += head.readUInt16BE(at);
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
    expect(sum).toBe(0xffff);
  });
});
