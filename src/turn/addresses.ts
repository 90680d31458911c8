// Which addresses a TURN message names, in either dialect: the peers it is about, and what an allocation was given. Reads decoded messages only.

import { addressText, attributeOf, readAddress, readXorAddress } from './codec.ts';
import type { TurnMessage } from './codec.ts';
import { msAttributes, rfcAttributes } from './names.ts';

/** The addresses of all peers a message names; null when one of them cannot be read, as a server might still read it. */
export function peersOf(message: TurnMessage): string[] | null {
  const isMs = message.dialect === 'ms';
  const peers: string[] = [];
  for (const { type, value } of message.attributes) {
    const isPeer = isMs ? type === msAttributes['destination-address'] || type === msAttributes['remote-address'] : type === rfcAttributes['xor-peer-address'];
    if (!isPeer) continue;
    const address = isMs ? readAddress(value) : readXorAddress(value, message.transaction);
    if (address === null) return null;
    peers.push(address.ip);
  }
  return peers;
}

/** The peer a request names: MS Destination Address, RFC XOR-PEER-ADDRESS. */
export function peerOf(message: TurnMessage): string | null {
  const type = message.dialect === 'ms' ? msAttributes['destination-address'] : rfcAttributes['xor-peer-address'];
  const value = attributeOf(message, type);
  const address = value === null ? null : message.dialect === 'ms' ? readAddress(value) : readXorAddress(value, message.transaction);
  return address === null ? null : addressText(address);
}

/** In an MS Allocate response Mapped Address is the relay's, plain; the RFC has an XORed attribute for it. */
export function addressesOf(message: TurnMessage): { relayed: string | null; reflexive: string | null } {
  const isMs = message.dialect === 'ms';
  const plain = isMs ? attributeOf(message, msAttributes['mapped-address']) : null;
  const relayedXor = isMs ? null : attributeOf(message, rfcAttributes['xor-relayed-address']);
  const mapped = attributeOf(message, isMs ? msAttributes['xor-mapped-address'] : rfcAttributes['xor-mapped-address']);
  const relayed = plain !== null ? readAddress(plain) : relayedXor !== null ? readXorAddress(relayedXor, message.transaction) : null;
  const reflexive = mapped === null ? null : readXorAddress(mapped, message.transaction);
  return { relayed: relayed === null ? null : addressText(relayed), reflexive: reflexive === null ? null : addressText(reflexive) };
}
