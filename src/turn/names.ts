// Names and numbers of both TURN dialects: Microsoft's (MS-TURN 2.2, an early draft that went its own way) and the
// RFCs' (5389, 5766, 6062, 8489, 8656). The same number means different things in them, so nothing here is shared.

/** Whose numbering a message follows. */
export type Dialect = 'ms' | 'rfc';

/** The value of MS-TURN's Magic Cookie attribute, which must come first (MS-TURN 2.2.2.1). */
export const msCookie = 0x72c64bc6;
/** The magic cookie in every RFC 5389 header. */
export const rfcCookie = 0x2112a442;

/** A smallest RTP header (RFC 3550 section 5.1). */
export const rtpHeaderBytes = 12;

/** MS-TURN message types by name (MS-TURN 2.2.1). Send is never answered; Data Indication breaks the RFC's class bits. */
export const msTypes = {
  allocate: 0x0003,
  'allocate-response': 0x0103,
  'allocate-error': 0x0113,
  send: 0x0004,
  'data-indication': 0x0115,
  'set-active-destination': 0x0006,
  'set-active-destination-response': 0x0106,
  'set-active-destination-error': 0x0116,
} as const;

/** RFC methods by name: the type's class bits make request, indication, response or error of them. */
export const rfcMethods = {
  binding: 0x001,
  allocate: 0x003,
  refresh: 0x004,
  send: 0x006,
  data: 0x007,
  'create-permission': 0x008,
  'channel-bind': 0x009,
  connect: 0x00a,
  'connection-bind': 0x00b,
  'connection-attempt': 0x00c,
} as const;

type RfcMethod = keyof typeof rfcMethods;
/** Every word for a message or frame that details, metrics and policy rules may show; a closed set. */
export type TurnMessageName =
  | keyof typeof msTypes
  | RfcMethod
  | `${RfcMethod}-${'indication' | 'response' | 'error'}`
  | 'data-frame'
  | 'channel-data'
  | 'opaque'
  | 'other';

/** The name of a message type: `allocate`, `allocate-response`, `send-indication`; `other` outside the registered ones. */
export function messageName(dialect: Dialect, type: number): TurnMessageName {
  return (dialect === 'ms' ? msNames : rfcNames).get(type) ?? 'other';
}

/** The words for all messages and frames, for documentation and config checks. */
export function turnMessageNames(): readonly TurnMessageName[] {
  return [...new Set<TurnMessageName>([...msNames.values(), ...rfcNames.values(), 'data-frame', 'channel-data', 'opaque', 'other'])];
}

/** Class bits of an RFC 5389 message type (section 6). */
export const rfcClass = { request: 0x0000, indication: 0x0010, response: 0x0100, error: 0x0110, mask: 0x0110 } as const;

const msNames = new Map<number, TurnMessageName>(entriesOf(msTypes).map(([name, type]) => [type, name]));
const rfcNames = new Map<number, TurnMessageName>(
  entriesOf(rfcMethods).flatMap(([name, method]): [number, TurnMessageName][] => [
    [method, name],
    [method | rfcClass.indication, `${name}-indication`],
    [method | rfcClass.response, `${name}-response`],
    [method | rfcClass.error, `${name}-error`],
  ]),
);

/** MS-TURN attributes (MS-TURN 2.2.2, MS-ICE2, MS-TURNBWM). Nonce and Realm are swapped against the RFC. */
export const msAttributes = {
  'mapped-address': 0x0001,
  username: 0x0006,
  'message-integrity': 0x0008,
  'error-code': 0x0009,
  'unknown-attributes': 0x000a,
  lifetime: 0x000d,
  'alternate-server': 0x000e,
  'magic-cookie': 0x000f,
  bandwidth: 0x0010,
  'destination-address': 0x0011,
  'remote-address': 0x0012,
  data: 0x0013,
  nonce: 0x0014,
  realm: 0x0015,
  'requested-address-family': 0x0017,
  'ms-version': 0x8008,
  'xor-mapped-address': 0x8020,
  'ms-sequence-number': 0x8050,
  'ms-candidate-identifier': 0x8054,
  'ms-service-quality': 0x8055,
  'ms-bandwidth-admission-control': 0x8056,
  'ms-bandwidth-reservation-id': 0x8057,
  'ms-bandwidth-reservation-amount': 0x8058,
  'ms-remote-site-address': 0x8059,
  'ms-remote-relay-site-address': 0x805a,
  'ms-local-site-address': 0x805b,
  'ms-local-relay-site-address': 0x805c,
  'ms-remote-site-address-response': 0x805d,
  'ms-remote-relay-site-address-response': 0x805e,
  'ms-local-site-address-response': 0x805f,
  'ms-local-relay-site-address-response': 0x8060,
  'ms-sip-dialog-id': 0x8061,
  'ms-sip-call-id': 0x8062,
  'ms-location-profile': 0x8068,
  'ms-implementation-version': 0x8070,
  'ms-alternate-mapped-address': 0x8090,
} as const;

/** RFC attributes (5389, 5766, 6062, 8445, 8489, 8656). */
export const rfcAttributes = {
  'mapped-address': 0x0001,
  username: 0x0006,
  'message-integrity': 0x0008,
  'error-code': 0x0009,
  'unknown-attributes': 0x000a,
  'channel-number': 0x000c,
  lifetime: 0x000d,
  bandwidth: 0x0010,
  'xor-peer-address': 0x0012,
  data: 0x0013,
  realm: 0x0014,
  nonce: 0x0015,
  'xor-relayed-address': 0x0016,
  'requested-address-family': 0x0017,
  'even-port': 0x0018,
  'requested-transport': 0x0019,
  'dont-fragment': 0x001a,
  'message-integrity-sha256': 0x001c,
  'password-algorithm': 0x001d,
  userhash: 0x001e,
  'xor-mapped-address': 0x0020,
  'reservation-token': 0x0022,
  priority: 0x0024,
  'use-candidate': 0x0025,
  'connection-id': 0x002a,
  'additional-address-family': 0x8000,
  'address-error-code': 0x8001,
  'password-algorithms': 0x8002,
  'alternate-domain': 0x8003,
  icmp: 0x8004,
  software: 0x8022,
  'alternate-server': 0x8023,
  fingerprint: 0x8028,
  'ice-controlled': 0x8029,
  'ice-controlling': 0x802a,
} as const;

/** The name of an attribute in its dialect, or its number in hex. */
export function attributeName(dialect: Dialect, type: number): string {
  return (dialect === 'ms' ? msAttributeNames : rfcAttributeNames).get(type) ?? `0x${type.toString(16).padStart(4, '0')}`;
}

const msAttributeNames = new Map<number, string>(entriesOf(msAttributes).map(([name, type]) => [type, name]));
const rfcAttributeNames = new Map<number, string>(entriesOf(rfcAttributes).map(([name, type]) => [type, name]));

/** Object.entries that keeps the keys' literal types; only for the constant tables above. */
function entriesOf<K extends string>(table: Readonly<Record<K, number>>): [K, number][] {
  return Object.entries(table) as [K, number][];
}
