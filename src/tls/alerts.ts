// TLS alerts in the clear: what the gateway says before any handshake, and what a server says instead of one.
// It never touches alerts under encryption.

import type { TlsVersion } from '../core/certificates.ts';

/** Alert descriptions by number (IANA "TLS Alerts"; RFC 8446 section 6, older ones from RFC 5246). */
export const alertNumbers = {
  close_notify: 0,
  unexpected_message: 10,
  bad_record_mac: 20,
  decryption_failed: 21,
  record_overflow: 22,
  decompression_failure: 30,
  handshake_failure: 40,
  no_certificate: 41,
  bad_certificate: 42,
  unsupported_certificate: 43,
  certificate_revoked: 44,
  certificate_expired: 45,
  certificate_unknown: 46,
  illegal_parameter: 47,
  unknown_ca: 48,
  access_denied: 49,
  decode_error: 50,
  decrypt_error: 51,
  too_many_cids_requested: 52,
  export_restriction: 60,
  protocol_version: 70,
  insufficient_security: 71,
  internal_error: 80,
  inappropriate_fallback: 86,
  user_canceled: 90,
  no_renegotiation: 100,
  missing_extension: 109,
  unsupported_extension: 110,
  certificate_unobtainable: 111,
  unrecognized_name: 112,
  bad_certificate_status_response: 113,
  bad_certificate_hash_value: 114,
  unknown_psk_identity: 115,
  certificate_required: 116,
  general_error: 117,
  no_application_protocol: 120,
  ech_required: 121,
} as const satisfies Record<string, number>;

export type AlertName = keyof typeof alertNumbers;

/** An alert record as read. `name` is null for a number that is not registered. */
export interface Alert {
  readonly level: 'warning' | 'fatal';
  readonly description: number;
  readonly name: AlertName | null;
  /** The record header's version. */
  readonly recordVersion: number;
}

const alertRecord = 0x15;
const alertRecordBytes = 7;
const levelWarning = 1;
const levelFatal = 2;

const recordVersions: Record<TlsVersion, number> = { TLSv1: 0x0301, 'TLSv1.1': 0x0302, 'TLSv1.2': 0x0303, 'TLSv1.3': 0x0303 };
const namesByNumber = new Map<number, AlertName>();
for (const [name, number] of Object.entries(alertNumbers)) if (isAlertName(name)) namesByNumber.set(number, name);

/** Whether a word is a registered alert description. */
export function isAlertName(word: string): word is AlertName {
  return Object.hasOwn(alertNumbers, word);
}

/** The registered name of an alert number, or null. */
export function alertName(description: number): AlertName | null {
  return namesByNumber.get(description) ?? null;
}

/**
 * An alert record of 7 bytes. `version` is what the client offered at most (ClientHello `maxVersion`); null writes the record
 * version TLS 1.0, which every client reads. Fatal, but for close_notify and user_canceled (RFC 8446 section 6.1).
 */
export function plaintextAlert(description: AlertName, version: TlsVersion | null): Buffer {
  const level = description === 'close_notify' || description === 'user_canceled' ? levelWarning : levelFatal;
  const recordVersion = version === null ? recordVersions.TLSv1 : recordVersions[version];
  return Buffer.from([alertRecord, recordVersion >> 8, recordVersion & 0xff, 0, 2, level, alertNumbers[description]]);
}

/** The alert record at the start of `bytes`: 'no' when they cannot be one in the clear, 'more' while they may become one. */
export function readAlert(bytes: Buffer): Alert | 'no' | 'more' {
  const fixed = [alertRecord, 3, null, 0, 2] as const;
  for (const [index, value] of fixed.entries()) {
    const octet = bytes[index];
    if (octet === undefined) return 'more';
    if (value !== null && octet !== value) return 'no';
  }
  const level = bytes[alertRecordBytes - 2];
  const description = bytes[alertRecordBytes - 1];
  if (level !== undefined && level !== levelWarning && level !== levelFatal) return 'no';
  if (description === undefined) return 'more';
  return { level: level === levelWarning ? 'warning' : 'fatal', description, name: alertName(description), recordVersion: bytes.readUInt16BE(1) };
}
