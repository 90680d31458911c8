// Counts the payload that TURN carries, by direction and by peer: the hot path of observing. It reads addresses and lengths
// only, makes no objects per message, and keeps at most turnPeersMax peers and channels.

import type { TurnDetails } from '../core/flow.ts';
import type { Limits } from '../core/limits.ts';
import type { Meter } from '../core/meters.ts';
import { addressText, readAddress, readXorAddress, walkAttributes } from './codec.ts';
import { msAttributes, rfcAttributes } from './names.ts';
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
/** A smallest RTP header (RFC 3550 section 5.1). */
const rtpHeaderBytes = 12;

/** Fills `peers`, `dataFrames`, `dataBytes` and `rtpSeen` of a connection's details. */
export class PeerTraffic {
  readonly #details: TurnDetails;
  readonly #limits: Limits;
  readonly #meter: Meter;
  readonly #channels = new Map<number, PeerBytes>();
  #peerCount = 0;
  // What the last walk over a message met.
  #peerAt = 0;
  #peerLength = 0;
  #dataAt = -1;
  #dataLength = 0;
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

  /** A data frame. */
  frame(channel: number, payloadBytes: number, firstByte: number, toward: Toward): void {
    this.#details.dataFrames[toward] += 1;
    this.#payload(this.#channels.get(channel) ?? null, payloadBytes, firstByte, toward);
  }

  /** MS Send and Data Indication, RFC Send and Data indications: payload inside a control message. */
  relayed(bytes: Buffer, dialect: Dialect, toward: Toward): void {
    this.#dataAt = -1;
    this.#peerLength = 0;
    walkAttributes(bytes, dialect, dialect === 'ms' ? this.#visitMs : this.#visitRfc);
    if (this.#dataAt < 0) return;
    const firstByte = this.#dataLength > 0 ? bytes.readUInt8(this.#dataAt) : -1;
    this.#payload(this.#peerIn(bytes, dialect), this.#dataLength, firstByte, toward);
  }

  readonly #visitMs = (type: number, at: number, length: number): void => {
    if (type === msAttributes.data) this.#dataMet(at, length);
    else if (type === msAttributes['destination-address'] || type === msAttributes['remote-address']) this.#peerMet(at, length);
  };

  readonly #visitRfc = (type: number, at: number, length: number): void => {
    if (type === rfcAttributes.data) this.#dataMet(at, length);
    else if (type === rfcAttributes['xor-peer-address']) this.#peerMet(at, length);
  };

  #dataMet(at: number, length: number): void {
    this.#dataAt = at;
    this.#dataLength = length;
  }

  #peerMet(at: number, length: number): void {
    this.#peerAt = at;
    this.#peerLength = length;
  }

  /** The counts of the peer last met; no text is made when it is the same as in the message before. */
  #peerIn(bytes: Buffer, dialect: Dialect): PeerBytes | null {
    const at = this.#peerAt;
    const isIpv4 = this.#peerLength === 8;
    // The RFC's XOR mask begins with the constant cookie, so equal bytes are equal addresses there too.
    if (isIpv4 && bytes.readUInt16BE(at + 2) === this.#lastPort && bytes.readInt32BE(at + 4) === this.#lastIp) return this.#lastPeer;
    const value = bytes.subarray(at, at + this.#peerLength);
    const address = dialect === 'ms' ? readAddress(value) : readXorAddress(value, bytes.subarray(4, 20));
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

  #payload(peer: PeerBytes | null, bytes: number, firstByte: number, toward: Toward): void {
    this.#details.dataBytes[toward] += bytes;
    if (peer !== null) {
      if (toward === 'toUpstream') peer.toPeer += bytes;
      else peer.fromPeer += bytes;
    }
    // Version 2 in the first two bits: RTP, as RFC 7983 tells it from STUN, DTLS and channels.
    if (firstByte >= 0x80 && firstByte <= 0xbf && bytes >= rtpHeaderBytes) this.#details.rtpSeen = true;
  }
}
