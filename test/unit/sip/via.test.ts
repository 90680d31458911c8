// What the topmost Via of our own responses says of the sender (RFC 3261 section 18.2.1, RFC 3581 section 4).

import { expect, test } from 'vitest';
import { stampedVia } from '../../../src/sip/via.ts';

const v4 = { ip: '192.0.2.7', port: 40_000 };
const v6 = { ip: '2001:db8::7', port: 5061 };

test.each([
  ['asks for its port: port and address, even where the address is its own', 'SIP/2.0/TLS 192.0.2.7:5061;rport;branch=z9hG4bK1', v4, 'SIP/2.0/TLS 192.0.2.7:5061;rport=40000;branch=z9hG4bK1;received=192.0.2.7'],
  ['another address than it comes from', 'SIP/2.0/TCP 10.0.0.1;branch=z', v4, 'SIP/2.0/TCP 10.0.0.1;branch=z;received=192.0.2.7'],
  ['a name', 'SIP/2.0/TLS phone.contoso.test:5061', v4, 'SIP/2.0/TLS phone.contoso.test:5061;received=192.0.2.7'],
  ['its own address', 'SIP/2.0/TLS 192.0.2.7:5061;branch=z', v4, 'SIP/2.0/TLS 192.0.2.7:5061;branch=z'],
  ['its own IPv6 address, any case', 'SIP / 2.0 / TLS [2001:DB8::7]:5061;branch=z', v6, 'SIP / 2.0 / TLS [2001:DB8::7]:5061;branch=z'],
  ['another IPv6 address: no brackets in received', 'SIP/2.0/TLS [2001:db8::9];RPORT ;branch=z', v6, 'SIP/2.0/TLS [2001:db8::9];RPORT=5061;branch=z;received=2001:db8::7'],
  ['only the topmost of a list', 'SIP/2.0/TLS a;rport, SIP/2.0/TLS b;rport', v4, 'SIP/2.0/TLS a;rport=40000;received=192.0.2.7, SIP/2.0/TLS b;rport'],
  ['a received of the sender\'s own is no witness', 'SIP/2.0/TLS a;received=8.8.8.8;branch=z', v4, 'SIP/2.0/TLS a;branch=z;received=192.0.2.7'],
  ['words in quotes are no parameters', 'SIP/2.0/TLS 192.0.2.7;x=";rport,";branch=z', v4, 'SIP/2.0/TLS 192.0.2.7;x=";rport,";branch=z'],
  ['a port that was filled in already stays', 'SIP/2.0/TLS 192.0.2.7;rport=9', v4, 'SIP/2.0/TLS 192.0.2.7;rport=9'],
  ['no Via at all', 'x', v4, 'x'],
  ['no source', 'SIP/2.0/TLS a;rport', null, 'SIP/2.0/TLS a;rport'],
])('%s', (_name, value, source, expected) => expect(stampedVia(value, source)).toBe(expected));
