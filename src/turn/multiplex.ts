// The sessions of multiplexed TURN (MS-TURN 2.2.3, frames ff10) as numbers, which stand where channel numbers stand elsewhere. It reads
// ids and remembers none.

/** Channels are 16 bits wide (RFC 8656 section 12), 0 is no channel: sessions begin above them. */
const sessionNumberMin = 0x10000;

/** The 8-byte session id at `at` as a number above all channels. Ids are random: that some of the last bits are lost joins none. */
export function sessionNumber(bytes: Buffer, at: number): number {
  return sessionNumberMin + bytes.readUInt32BE(at) * 2 ** 32 + bytes.readUInt32BE(at + 4);
}

/** Whether a number is a session's, not a channel's. */
export function isSession(channel: number): boolean {
  return channel >= sessionNumberMin;
}
