// Counts the payload that TURN carries, by direction and by peer: the hot path of observing. It reads addresses and lengths
// only, makes no objects per message, and keeps at most turnPeersMax peers and channels.

import type { TurnDetails } from '../core/session.ts';
import type { Limits } from '../core/limits.ts';
import type { Meter } from '../core/meters.ts';
import { addressText, headerBytes, readAddress, readXorAddress } from './codec.ts';
import { msAttributes, rfcAttributes, rtpHeaderBytes } from './names.ts';
import type { Dialect } from './names.ts';

/** Where a message or frame is going. */
export type Toward = 'toUpstream' | 'toClient';

interface PeerBytes {
  toPeer: number;
  fromPeer: number;
}

/** Peers beyond the bound are counted together under this name. */
const otherPeers = 'other';
/** The channel number that stands for MS-TURN's active destination; RFC channels begin at 0x4000. */
export const activeChannel = 0;

/** Fills `peers`, `dataFrames`, `dataBytes` and `rtpSeen` of a connection's details. */
export class PeerTraffic {
  readonly #details: TurnDetails;
  readonly #limits: Limits;
  readonly #meter: Meter;
  readonly #channels = new Map<number, PeerBytes>();
  #peerCount = 0;
  // The last IPv4 peer by its bytes: most messages of a call go to the same one.
  #lastPort = -1;
  #lastIp = 0;
  #lastPeer: PeerBytes | null = null;

  constructor(details: TurnDetails, limits: Limits, meter: Meter) {
    this.#details = details;
    this.#limits = limits;
    this.#meter = meter;
  }

  /** Data frames of this channel (activeChannel: MS-TURN type 03) go to and come from this peer from now on. */
  bind(channel: number, peer: string): void {
    if (this.#channels.size < this.#limits.turnPeersMax || this.#channels.has(channel)) this.#channels.set(channel, this.#peer(peer));
  }

  /** Data frames of one channel. */
  frames(frames: number, channel: number, payloadBytes: number, toward: Toward): void {
    this.#details.dataFrames[toward] += frames;
    this.#payload(this.#channels.get(channel) ?? null, payloadBytes, toward);
  }

  /**
   * MS Send and Data Indication, RFC Send and Data indications: payload inside the control message at `start` of `bytes`.
   * Walks the attributes by itself, without the visitor of codec.ts: calls of Skype for Business send hundreds of these a second.
   */
  relayed(bytes: Buffer, start: number, end: number, dialect: Dialect, toward: Toward): void {
    const isMs = dialect === 'ms';
    const dataType = isMs ? msAttributes.data : rfcAttributes.data;
    let dataAt = -1;
    let dataLength = 0;
    let peerAt = 0;
    let peerLength = 0;
    for (let at = start + headerBytes; at + 4 <= end; ) {
      const type = ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
      const length = ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0);
      if (at + 4 + length > end) break;
      if (type === dataType) {
        dataAt = at + 4;
        dataLength = length;
      // MS Remote Address and the RFC's XOR-PEER-ADDRESS have the same number.
      } else if (type === msAttributes['remote-address'] || (isMs && type === msAttributes['destination-address'])) {
        peerAt = at + 4;
        peerLength = length;
      }
      at += 4 + (isMs ? length : (length + 3) & ~3);
    }
    if (dataAt < 0) return;
    if (dataLength >= rtpHeaderBytes && ((bytes[dataAt] ?? 0) & 0xc0) === 0x80) this.#details.rtpSeen = true;
    this.#payload(this.#peerIn(bytes, start, peerAt, peerLength, dialect), dataLength, toward);
  }

  /** The counts of the peer last met; no text is made when it is the same as in the message before. */
  #peerIn(bytes: Buffer, start: number, at: number, length: number, dialect: Dialect): PeerBytes | null {
    const isIpv4 = length === 8;
    // The RFC's XOR mask begins with the constant cookie, so equal bytes are equal addresses there too.
    if (isIpv4 && bytes.readUInt16BE(at + 2) === this.#lastPort && bytes.readInt32BE(at + 4) === this.#lastIp) return this.#lastPeer;
    const value = bytes.subarray(at, at + length);
    const address = dialect === 'ms' ? readAddress(value) : readXorAddress(value, bytes.subarray(start + 4, start + headerBytes));
    if (address === null) return null;
    const peer = this.#peer(addressText(address));
    if (isIpv4) {
      this.#lastPort = bytes.readUInt16BE(at + 2);
      this.#lastIp = bytes.readInt32BE(at + 4);
      this.#lastPeer = peer;
    }
    return peer;
  }

  #peer(text: string): PeerBytes {
    const { peers } = this.#details;
    const known = peers[text];
    if (known !== undefined) return known;
    if (this.#peerCount >= this.#limits.turnPeersMax) {
      this.#meter.add('limits_hit_total', ['turnPeersMax']);
      return (peers[otherPeers] ??= { toPeer: 0, fromPeer: 0 });
    }
    this.#peerCount += 1;
    return (peers[text] = { toPeer: 0, fromPeer: 0 });
  }

  #payload(peer: PeerBytes | null, bytes: number, toward: Toward): void {
    this.#details.dataBytes[toward] += bytes;
    if (peer === null) return;
    if (toward === 'toUpstream') peer.toPeer += bytes;
    else peer.fromPeer += bytes;
  }
}
