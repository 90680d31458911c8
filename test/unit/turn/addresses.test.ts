// Addresses that messages name: peers, relayed and reflexive, in both dialects; one that cannot be read.

import { expect, it } from 'vitest';
import { addressesOf, peerOf, peersOf } from '../../../src/turn/addresses.ts';
import { addressValue, decodeMessage, encodeMessage, newTransaction, xorAddressValue } from '../../../src/turn/codec.ts';
import type { TurnAttribute, TurnMessage } from '../../../src/turn/codec.ts';
import { msAttributes, msTypes, rfcAttributes, rfcMethods } from '../../../src/turn/names.ts';
import type { Dialect } from '../../../src/turn/names.ts';

function message(dialect: Dialect, type: number, attributes: readonly TurnAttribute[], transaction = newTransaction(dialect)): TurnMessage {
  const decoded = decodeMessage(encodeMessage({ dialect, type, attributes, transaction }), dialect);
  if (decoded === null) throw new Error('not decoded');
  return decoded;
}

const seven = { ip: '192.0.2.7', port: 5 };
const v6 = { ip: '2001:db8::8', port: 6 };

it('MS: destination and remote address, plain; mapped is the relay\'s, XORed the client\'s', () => {
  const send = message('ms', msTypes.send, [{ type: msAttributes['destination-address'], value: addressValue(seven) }, { type: msAttributes['remote-address'], value: addressValue(v6) }]);
  expect([peersOf(send), peerOf(send)]).toEqual([['192.0.2.7', '2001:db8::8'], '192.0.2.7:5']);
  const transaction = newTransaction('ms');
  const granted = message('ms', msTypes['allocate-response'], [{ type: msAttributes['mapped-address'], value: addressValue(seven) }, { type: msAttributes['xor-mapped-address'], value: xorAddressValue(v6, transaction) }], transaction);
  expect([addressesOf(granted), peersOf(granted)]).toEqual([{ relayed: '192.0.2.7:5', reflexive: '[2001:db8::8]:6' }, []]);
});

it('RFC: all of them XORed', () => {
  const transaction = newTransaction('rfc');
  const peers = message('rfc', rfcMethods['create-permission'], [seven, v6].map((address) => ({ type: rfcAttributes['xor-peer-address'], value: xorAddressValue(address, transaction) })), transaction);
  expect([peersOf(peers), peerOf(peers)]).toEqual([['192.0.2.7', '2001:db8::8'], '192.0.2.7:5']);
  const granted = message('rfc', 0x0103, [{ type: rfcAttributes['xor-relayed-address'], value: xorAddressValue(seven, transaction) }, { type: rfcAttributes['xor-mapped-address'], value: xorAddressValue(v6, transaction) }], transaction);
  expect(addressesOf(granted)).toEqual({ relayed: '192.0.2.7:5', reflexive: '[2001:db8::8]:6' });
});

it('a peer that cannot be read is told from none', () => {
  const odd = Buffer.from(addressValue(seven));
  odd.writeUInt8(9, 1);
  expect(peersOf(message('ms', msTypes.send, [{ type: msAttributes['destination-address'], value: odd }]))).toBeNull();
  expect(peersOf(message('ms', msTypes.send, [{ type: msAttributes['destination-address'], value: Buffer.alloc(3) }]))).toBeNull();
  expect(peersOf(message('ms', msTypes.send, []))).toEqual([]);
});
