// Payload counts by peer and direction, and their bounds.

import { describe, expect, it } from 'vitest';
import type { TurnDetails } from '../../../src/core/session.ts';
import { limitsWith } from '../../../src/core/limits.ts';
import { addressValue, encodeMessage, xorAddressValue } from '../../../src/turn/codec.ts';
import { msAttributes, msTypes, rfcAttributes } from '../../../src/turn/names.ts';
import { noRate } from '../../../src/turn/rates.ts';
import { PeerTraffic, activeChannel } from '../../../src/turn/traffic.ts';
import { Tally } from './support.ts';

function traffic(turnPeersMax = 256): { details: TurnDetails; peers: PeerTraffic; meter: Tally } {
  const details: TurnDetails = {
    allocations: [], peers: {}, messages: {}, dataFrames: { toUpstream: 0, toClient: 0 }, dataBytes: { toUpstream: 0, toClient: 0 },
    dataRates: { toUpstream: noRate(), toClient: noRate() }, errors: {},
    version: null, activeDestination: null, rtpSeen: false, opaque: null,
  };
  const meter = new Tally();
  return { details, meter, peers: new PeerTraffic(details, limitsWith({ turnPeersMax }), meter) };
}

const send = (ip: string, bytes: number, port = 9): Buffer =>
  encodeMessage({
    dialect: 'ms', type: msTypes.send,
    attributes: [{ type: msAttributes['destination-address'], value: addressValue({ ip, port }) }, { type: msAttributes.data, value: Buffer.alloc(bytes, 0x80) }],
  });

describe('payload in messages', () => {
  it('MS Send and Data Indication, at any offset', () => {
    const { details, peers } = traffic();
    for (const [ip, bytes] of [['192.0.2.1', 10], ['192.0.2.1', 5], ['192.0.2.2', 7], ['2001:db8::5', 3]] as const) {
      const message = send(ip, bytes);
      peers.relayed(Buffer.concat([Buffer.alloc(6, 0xaa), message, Buffer.alloc(3, 0xbb)]), 6, 6 + message.length, 'ms', 'toUpstream');
    }
    const indication = encodeMessage({
      dialect: 'ms', type: msTypes['data-indication'],
      attributes: [{ type: msAttributes['remote-address'], value: addressValue({ ip: '192.0.2.1', port: 9 }) }, { type: msAttributes.data, value: Buffer.alloc(40, 0x80) }],
    });
    peers.relayed(indication, 0, indication.length, 'ms', 'toClient');
    expect(details.peers).toEqual({ '192.0.2.1:9': { toPeer: 15, fromPeer: 40 }, '192.0.2.2:9': { toPeer: 7, fromPeer: 0 }, '[2001:db8::5]:9': { toPeer: 3, fromPeer: 0 } });
    expect(details.dataBytes).toEqual({ toUpstream: 25, toClient: 40 });
    expect(details.rtpSeen).toBe(true);
  });

  it('RFC indications: XORed, padded, IPv6 masked by each transaction', () => {
    const { details, peers } = traffic();
    for (const ip of ['192.0.2.1', '192.0.2.1', '2001:db8::1', '2001:db8::1']) {
      const head = encodeMessage({ dialect: 'rfc', type: 0x0016, attributes: [] });
      const transaction = head.subarray(4, 20);
      const message = encodeMessage({
        dialect: 'rfc', type: 0x0016, transaction,
        attributes: [{ type: rfcAttributes.data, value: Buffer.alloc(5, 1) }, { type: rfcAttributes['xor-peer-address'], value: xorAddressValue({ ip, port: 7 }, transaction) }],
      });
      peers.relayed(message, 0, message.length, 'rfc', 'toUpstream');
    }
    expect(details.peers).toEqual({ '192.0.2.1:7': { toPeer: 10, fromPeer: 0 }, '[2001:db8::1]:7': { toPeer: 10, fromPeer: 0 } });
    expect(details.rtpSeen).toBe(false);
  });

  it('a message without data, cut, or with an unreadable peer counts nothing wrong', () => {
    const { details, peers } = traffic();
    const message = send('192.0.2.1', 10);
    peers.relayed(message, 0, message.length - 1, 'ms', 'toUpstream');
    expect(details.dataBytes.toUpstream).toBe(0);
    const noPeer = encodeMessage({ dialect: 'ms', type: msTypes.send, attributes: [{ type: msAttributes['destination-address'], value: Buffer.alloc(3) }, { type: msAttributes.data, value: Buffer.alloc(4) }] });
    peers.relayed(noPeer, 0, noPeer.length, 'ms', 'toUpstream');
    expect(details).toMatchObject({ peers: {}, dataBytes: { toUpstream: 4 } });
  });
});

describe('data frames and bounds', () => {
  it('go to the peer their channel is bound to', () => {
    const { details, peers } = traffic();
    peers.frames(1, activeChannel, 4, 'toUpstream');
    peers.bind(activeChannel, '192.0.2.1:1');
    peers.bind(0x4000, '192.0.2.2:2');
    peers.frames(3, activeChannel, 30, 'toUpstream');
    peers.frames(2, 0x4000, 20, 'toClient');
    expect(details.peers).toEqual({ '192.0.2.1:1': { toPeer: 30, fromPeer: 0 }, '192.0.2.2:2': { toPeer: 0, fromPeer: 20 } });
    expect(details.dataFrames).toEqual({ toUpstream: 4, toClient: 2 });
    expect(details.dataBytes).toEqual({ toUpstream: 34, toClient: 20 });
  });

  it('peers over the bound are counted together, and the limit is seen', () => {
    const { details, peers, meter } = traffic(2);
    for (let index = 1; index <= 5; index += 1) {
      const message = send(`192.0.2.${index}`, 1);
      peers.relayed(message, 0, message.length, 'ms', 'toUpstream');
    }
    expect(details.peers).toEqual({ '192.0.2.1:9': { toPeer: 1, fromPeer: 0 }, '192.0.2.2:9': { toPeer: 1, fromPeer: 0 }, other: { toPeer: 3, fromPeer: 0 } });
    expect(meter.values.get('limits_hit_total turnPeersMax')).toBe(3);
  });
});
