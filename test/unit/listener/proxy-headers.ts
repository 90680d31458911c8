// Makes PROXY protocol version 2 headers for tests, right and wrong ones.

import { crc32c } from '../../../src/listener/proxy-protocol-wire.ts';

const signature = Buffer.from('0d0a0d0a000d0a515549540a', 'hex');

/** A header of this command and family around a body. */
export function header2(command: number, family: number, body: Buffer): Buffer {
  const head = Buffer.from([command, family, body.length >> 8, body.length & 0xff]);
  return Buffer.concat([signature, head, body]);
}

/** One type-length-value entry. */
export function tlv(type: number, value: Buffer): Buffer {
  return Buffer.concat([Buffer.from([type, value.length >> 8, value.length & 0xff]), value]);
}

/** A TCP4 header with a right checksum. */
export function withChecksum(addresses: Buffer): Buffer {
  const header = header2(0x21, 0x11, Buffer.concat([addresses, tlv(0x03, Buffer.alloc(4))]));
  header.writeUInt32BE(crc32c(header, header.length - 4), header.length - 4);
  return header;
}
