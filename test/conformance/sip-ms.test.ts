// Messages as Lync and Skype for Business clients and pidgin-sipe write them (MS-SIPREGE, MS-CONMGMT, MS-AVEDGEA, FACTS C):
// a sign-in, a call and a compressed stream through the taps, at every split where it matters.

import { describe, expect, test } from 'vitest';
import type { SipDetails } from '../../src/core/session.ts';
import type { SipFacts } from '../../src/core/verdicts.ts';
import { SipObserver } from '../../src/sip/observer.ts';
import { SipTap } from '../../src/sip/tap.ts';
import { allow, message, session, testDeps } from '../unit/sip/support.ts';

function connection(rule: Parameters<typeof testDeps>[0] = null) {
  const world = testDeps(rule);
  const facts = session();
  const observer = new SipObserver(facts, world.deps.limits, world.meter, () => undefined);
  const shared = { flow: { session: facts, insideTls: true } as never, deps: world.deps, observer };
  return { world, observer, details: observer.details, client: new SipTap(shared, 'client'), upstream: new SipTap(shared, 'upstream') };
}

const callId = '4B5Dg9D13a9C17iB0DAm0D2Ct0B3Cb2DF0x7C1Fx';
const common = (cseq: string): string[] => [
  `From: <sip:alice@contoso.test>;tag=7234516290;epid=6b9dcbb1b7f5`, 'To: <sip:alice@contoso.test>', `Call-ID: ${callId}`, `CSeq: ${cseq}`,
];
const contact = 'Contact: <sip:192.0.2.10:40001;transport=tls;ms-opaque=d3470f2e1d>;methods="INVITE, MESSAGE, INFO, SUBSCRIBE, OPTIONS, BYE, CANCEL, NOTIFY, ACK, REFER, BENOTIFY";proxy=replace;+sip.instance="<urn:uuid:47f2d5a6-9b35-5d8f-8f0c-6d3bb4f3a2a1>"';
const via = 'Via: SIP/2.0/tls 192.0.2.10:40001;branch=z9hG4bK2DA18A6C4A5EE1B54A14';

const register = (cseq: number, more: readonly string[] = []): Buffer => message([
  'REGISTER sip:contoso.test SIP/2.0', via, ...common(`${cseq} REGISTER`), 'Max-Forwards: 70', 'User-Agent: Purple/2.14.12 Sipe/1.25.0 (linux-x86_64)', contact,
  'Supported: gruu-10, adhoclist, msrtc-event-categories, com.microsoft.msrtc.presence', 'Event: registration', 'Allow-Events: presence', 'ms-keep-alive: UAC;hop-hop=yes', ...more,
]);
const challenge = (cseq: number): Buffer => message([
  'SIP/2.0 401 Unauthorized', `${via};received=192.0.2.10;ms-received-port=40001;ms-received-cid=C400`, ...common(`${cseq} REGISTER`),
  'WWW-Authenticate: NTLM realm="SIP Communications Service", targetname="pool.contoso.test", version=4',
  'WWW-Authenticate: Kerberos realm="SIP Communications Service", targetname="sip/pool.contoso.test", version=4',
  'WWW-Authenticate: TLS-DSK realm="SIP Communications Service", targetname="pool.contoso.test", version=4, sts-uri="https://pool.contoso.test:443/CertProv/CertProvisioningService.svc"',
]);
const accepted = (cseq: number): Buffer => message([
  'SIP/2.0 200 OK', via, ...common(`${cseq} REGISTER`), 'ms-keep-alive: UAS; tcp=no; hop-hop=yes; end-end=no; timeout=300',
  'Authentication-Info: TLS-DSK qop="auth", opaque="A1B2", srand="C3D4", snum="1", rspauth="deadbeef", targetname="pool.contoso.test", realm="SIP Communications Service", version=4',
  'Expires: 7200', 'Contact: <sip:198.51.100.7:5061;transport=tls>;expires=3000', `${contact};expires=7200`, 'Server: RTC/7.0', 'ms-user-logon-data: RemoteUser', 'Supported: msrtc-event-categories',
]);
const authorization = 'Authorization: TLS-DSK qop="auth", opaque="A1B2", realm="SIP Communications Service", targetname="pool.contoso.test", version=4, gssapi-data="c2VjcmV0LXRva2Vu"';

function signIn(): SipDetails {
  const { client, upstream, details } = connection();
  expect(client.push(register(1))).toBe('pass');
  expect(upstream.push(challenge(1))).toBe('pass');
  client.push(register(2, [authorization]));
  upstream.push(challenge(2));
  client.push(register(3, [authorization]));
  upstream.push(accepted(3));
  return details;
}

describe('sign-in', () => {
  test('pidgin-sipe sends one REGISTER in two pieces, 260 and the rest, and no split changes what is seen', () => {
    const bytes = register(1);
    for (const at of [260, ...Array.from(bytes.keys()).slice(1)]) {
      const { client, details } = connection();
      expect(client.push(bytes.subarray(0, at))).toBe('pass');
      expect(client.push(bytes.subarray(at))).toBe('pass');
      expect(details.opaque).toBeNull();
      expect(details.registrations).toEqual([{
        aor: 'sip:alice@contoso.test', contact: 'sip:192.0.2.10:40001;transport=tls;ms-opaque=d3470f2e1d', userAgent: 'Purple/2.14.12 Sipe/1.25.0 (linux-x86_64)',
        expiresSeconds: 0, state: 'pending', scheme: null, epid: '6b9dcbb1b7f5', rounds: 0,
      }]);
    }
  });

  test('three challenges in three header lines, the scheme chosen, the expiry of our own binding', () => {
    expect(signIn()).toMatchObject({
      registrations: [{ state: 'registered', expiresSeconds: 7200, scheme: 'TLS-DSK', offered: ['NTLM', 'Kerberos', 'TLS-DSK'], rounds: 2 }],
      methods: { REGISTER: 3 }, statuses: { 401: 2, 200: 1 }, server: 'RTC/7.0', msKeepAliveSeconds: 300,
    });
  });

  test('no credential is kept', () => {
    const text = JSON.stringify(signIn());
    for (const secret of ['c2VjcmV0', 'A1B2', 'deadbeef', 'gssapi']) expect(text).not.toContain(secret);
  });

  test('keep-alives of four bytes between messages, as clients send them that expect no pong', () => {
    const { client, details } = connection();
    for (let minute = 0; minute < 5; minute += 1) expect(client.push(Buffer.from('\r\n\r\n'))).toBe('pass');
    client.push(register(1));
    client.push(Buffer.from('\r\n'));
    client.push(Buffer.from('\r\n'));
    expect(details.keepAlives).toBe(6);
  });
});

test('an MRAS request and its answer are counted, and their secrets are not kept', () => {
  const { client, upstream, details } = connection();
  const type = 'Content-Type: application/msrtc-media-relay-auth+xml';
  const ask = '<request requestID="1" xmlns="http://schemas.microsoft.com/2006/09/sip/mrasp"><credentialsRequest credentialsRequestID="2"><identity>sip:alice@contoso.test</identity><location>internet</location><duration>480</duration></credentialsRequest></request>';
  const answer = '<response><credentialsResponse><credentials><username>AgAAJHRvcHNlY3JldA==</username><password>cGFzc3dvcmQ=</password></credentials></credentialsResponse></response>';
  client.push(message(['SERVICE sip:mras@contoso.test;gruu;opaque=srvr:MRAS:1 SIP/2.0', via, ...common('5 SERVICE'), type], ask));
  upstream.push(message(['SIP/2.0 200 OK', via, ...common('5 SERVICE'), type], answer));
  client.push(message(['SERVICE sip:alice@contoso.test SIP/2.0', via, ...common('6 SERVICE'), 'Content-Type: application/msrtc-category-publish+xml'], '<publish/>'));
  upstream.push(message(['SIP/2.0 200 OK', via, ...common('6 SERVICE')]));
  expect(details.mras).toEqual({ requested: 1, granted: 1, failed: 0 });
  expect(JSON.stringify(details)).not.toMatch(/AgAAJHR|cGFzc3/);
});

test('BENOTIFY, which nobody answers, and a subscription it ends', () => {
  const { client, upstream, details, world } = connection();
  client.push(message(['SUBSCRIBE sip:alice@contoso.test SIP/2.0', via, ...common('2 SUBSCRIBE'), 'Event: vnd-microsoft-roaming-contacts', 'Supported: ms-benotify']));
  upstream.push(message(['SIP/2.0 200 OK', via, ...common('2 SUBSCRIBE'), 'Expires: 36000', 'subscription-state: active;expires=36000']));
  expect(details.subscriptions).toEqual([{ event: 'vnd-microsoft-roaming-contacts', state: 'active', expiresSeconds: 36_000 }]);
  upstream.push(message(['BENOTIFY sip:192.0.2.10:40001 SIP/2.0', via, ...common('3 BENOTIFY'), 'subscription-state: terminated;expires=0'], '<contactDelta/>'));
  expect(details.subscriptions).toEqual([{ event: 'vnd-microsoft-roaming-contacts', state: 'terminated', expiresSeconds: 0 }]);
  expect(world.meter.of('sip_messages_total{sips,request,BENOTIFY}')).toBe(1);
});

test('To: tel:, as calls to telephones have', () => {
  const seen: SipFacts[] = [];
  const { client, details } = connection((facts) => {
    seen.push(facts);
    return allow;
  });
  client.push(message([
    'INVITE sip:+12015550123@contoso.test;user=phone SIP/2.0', via, 'From: "Alice" <sip:alice@contoso.test>;tag=1;epid=2', 'To: <tel:+1-201-555-0123;ext=4>', 'Call-ID: tel-1', 'CSeq: 1 INVITE',
  ]));
  expect(seen[0]?.to).toBe('tel:+1-201-555-0123');
  expect(details.dialogs).toMatchObject([{ callId: 'tel-1', state: 'trying', to: 'tel:+1-201-555-0123' }]);
});

test('a body in UTF-8 is counted in bytes: the next message is found', () => {
  const { client, details } = connection();
  const text = message(['MESSAGE sip:bob@contoso.test SIP/2.0', via, ...common('8 MESSAGE'), 'Content-Type: text/plain; charset=UTF-8'], 'Grüße – ☎');
  expect(client.push(Buffer.concat([text, register(9)]))).toBe('pass');
  expect(details.methods).toEqual({ MESSAGE: 1, REGISTER: 1 });
});

test('a call with two descriptions in one multipart body, of which the answer takes one', () => {
  const { client, upstream, details } = connection();
  const sdp = (address: string, port: number): string => `v=0\r\no=- 0 0 IN IP4 ${address}\r\ns=session\r\nc=IN IP4 ${address}\r\nt=0 0\r\nm=audio ${port} RTP/AVP 114 9 0 101\r\na=rtpmap:114 SIREN/16000\r\na=rtpmap:9 G722/8000\r\na=rtpmap:101 telephone-event/8000\r\n`;
  const part = (text: string, disposition: string): string => `--b0undary\r\nContent-Type: application/sdp\r\n${disposition}\r\n\r\n${text}\r\n`;
  const body = `${part(sdp('192.0.2.10', 50_000), 'Content-Disposition: session; handling=optional; ms-proxy-2007fallback')}${part(sdp('192.0.2.10', 50_002), 'Content-Disposition: session')}--b0undary--\r\n`;
  const call = [via, 'From: <sip:alice@contoso.test>;tag=1;epid=2', 'To: <sip:bob@contoso.test>', 'Call-ID: call-9'];
  const offer = message(['INVITE sip:bob@contoso.test SIP/2.0', ...call, 'CSeq: 1 INVITE', 'Content-Type: multipart/alternative;boundary="b0undary"'], body);
  // In pieces: the description is put together again.
  for (let at = 0; at < offer.length; at += 100) expect(client.push(offer.subarray(at, at + 100))).toBe('pass');
  upstream.push(message(['SIP/2.0 183 Session Progress', ...call, 'CSeq: 1 INVITE']));
  expect(details.dialogs[0]).toMatchObject({ state: 'ringing', media: ['audio 192.0.2.10:50000', 'audio 192.0.2.10:50002'] });
  upstream.push(message(['SIP/2.0 200 OK', ...call, 'CSeq: 1 INVITE', 'Content-Type: application/sdp'], 'v=0\r\nc=IN IP4 198.51.100.7\r\nm=audio 52000 RTP/SAVP 9 101\r\na=rtpmap:9 G722/8000\r\na=rtpmap:101 telephone-event/8000\r\nm=video 0 RTP/AVP 34\r\n'));
  expect(details.dialogs).toEqual([{
    callId: 'call-9', method: 'INVITE', state: 'confirmed', from: 'sip:alice@contoso.test', to: 'sip:bob@contoso.test',
    media: ['audio 192.0.2.10:50000', 'audio 192.0.2.10:50002', 'audio 198.51.100.7:52000'], codecs: ['G722', 'telephone-event'],
  }]);
});

test('NEGOTIATE, answered, and the compressed bytes that follow', () => {
  const { client, upstream, details } = connection();
  const negotiation = ['Via: SIP/2.0/TLS 192.0.2.10:2616', 'CSeq: 1 NEGOTIATE', 'Call-ID: 8d8b20f87c9c4221a732f3a70f57e9b8', 'From: <sip:192.0.2.10:2616>;tag=984721fb', 'To: <sip:192.0.2.1:5061>;tag=1', 'Compression: LZ77-8K', 'Max-Forwards: 0'];
  client.push(message(['NEGOTIATE sip:192.0.2.1:5061 SIP/2.0', ...negotiation]));
  upstream.push(message(['SIP/2.0 200 OK', ...negotiation]));
  const compressed = Buffer.from('\x21REGISTER\x00\x01\x02\r\n\r\n', 'latin1');
  expect(client.push(compressed)).toBe('pass');
  expect(upstream.push(compressed)).toBe('pass');
  expect(details).toMatchObject({ opaque: 'compressed (MS-SIPCOMP)', methods: { NEGOTIATE: 1 }, statuses: { 200: 1 } });
});
