// How many SIP messages a second one core frames and observes: the fixture mix (RFC 4475's messages that frame, RFC 5118's,
// a Skype for Business sign-in and a call) through the real tap, in chunks as TLS delivers them.

import { readdirSync, readFileSync } from 'node:fs';
import { limitsWith } from '../src/core/limits.ts';
import { silentLogger } from '../src/core/log.ts';
import { noMeter } from '../src/core/meters.ts';
import type { Deps, Flow } from '../src/core/flow.ts';
import type { Session } from '../src/core/session.ts';
import type { RequestVerdict } from '../src/core/verdicts.ts';
import { SipFramer } from '../src/sip/framer.ts';
import { SipObserver } from '../src/sip/observer.ts';
import { SipTap } from '../src/sip/tap.ts';
import { columns } from './report.ts';
import type { PartReport } from './report.ts';
import { quantile } from './statistics.ts';

/** The requirement: framing and observing together, on one core. */
const requiredPerSecond = 100_000;
/** A TLS record's payload: what a read of a busy connection brings. */
const chunkBytes = 16 * 1024;
const full = { runs: 5, messages: 200_000 } as const;
const smoke = { runs: 1, messages: 5_000 } as const;
const judged = 'framing and observing';
const limits = limitsWith({ sipMessagesPerSecondMax: 1_000_000 });

/** One measured way of handling the mix. */
interface Row {
  readonly name: string;
  readonly messagesPerSecond: number;
}

/** The mix as single messages, each of which frames. */
export function fixtureMix(): Buffer[] {
  const data = new URL('../test/data/', import.meta.url);
  const files = ['rfc4475', 'rfc5118'].flatMap((folder) => readdirSync(new URL(folder, data)).map((file) => readFileSync(new URL(`${folder}/${file}`, data))));
  const framed = files.filter(isOneMessage);
  const signIn = Array.from({ length: 3 }, (_, index) => [...registration(index), ...call(index), presence(index)]).flat();
  return [...framed, ...signIn];
}

/** Measures and answers the table; `isSmoke`: in a second, to show that it works, and nothing has to be reached. */
export function benchSip(isSmoke: boolean): PartReport {
  const rows = measureSip(isSmoke ? smoke : full);
  const missed = rows.filter(({ name, messagesPerSecond }) => name === judged && messagesPerSecond < requiredPerSecond).map(({ name }) => `${name}: fewer than ${requiredPerSecond.toLocaleString('en')} messages a second`);
  return {
    text: `SIP: one direction of a connection, the fixture mix\n${columns([['', 'messages per second of CPU'], ...rows.map(({ name, messagesPerSecond }) => [name, messagesPerSecond.toLocaleString('en')])])}`,
    missed: isSmoke ? [] : missed,
  };
}

/** Messages a second for framing alone, observing, and judging by rules that allow. Medians of several runs. */
function measureSip({ runs, messages }: { readonly runs: number; readonly messages: number }): Row[] {
  const mix = fixtureMix();
  const ways: [string, () => (chunk: Buffer) => void][] = [
    ['framing only', framingOnly],
    [judged, () => tapPush(false)],
    ['framing, observing and rules', () => tapPush(true)],
  ];
  const repeats = Math.ceil(messages / mix.length);
  const chunks = chunksOf(Buffer.concat(mix));
  return ways.map(([name, make]) => {
    const rates = Array.from({ length: runs }, () => {
      const push = make();
      const startedAt = process.cpuUsage();
      for (let repeat = 0; repeat < repeats; repeat += 1) for (const chunk of chunks) push(chunk);
      const used = process.cpuUsage(startedAt);
      return (repeats * mix.length * 1_000_000) / (used.user + used.system);
    });
    return { name, messagesPerSecond: Math.round(quantile(rates, 0.5)) };
  });
}

function framingOnly(): (chunk: Buffer) => void {
  const framer = new SipFramer(limits);
  return (chunk) => {
    framer.feed(chunk);
    for (let step = framer.next(); step !== 'more'; step = framer.next()) if (step === 'fault') throw new Error('the mix does not frame');
  };
}

function tapPush(rules: boolean): (chunk: Buffer) => void {
  const allow: RequestVerdict = { action: 'allow', rule: 'sip/default', status: null };
  const policy = { has: () => rules, sip: () => allow, protocol: () => ({ action: 'relay', rule: 'protocol/default' }) };
  const session = { id: 'bench', protocol: 'sips', service: 'bench', client: { ip: '127.0.0.1', port: 1 }, details: {} };
  // Only what the tap reaches: a bench needs no gateway.
  const deps = { limits, meter: noMeter, log: silentLogger, clock: Date.now, policy } as unknown as Deps;
  const flow = { session: session as unknown as Session, insideTls: true } as Flow;
  const observer = new SipObserver(flow.session, limits, noMeter, () => undefined);
  const tap = new SipTap({ flow, deps, observer }, 'client');
  return (chunk) => {
    const judgement = tap.push(chunk);
    if (observer.details.opaque !== null || (judgement !== 'pass' && judgement.close !== null)) throw new Error(`the mix does not frame: ${observer.details.opaque}`);
  };
}

function isOneMessage(bytes: Buffer): boolean {
  const framer = new SipFramer(limits);
  framer.feed(bytes);
  let heads = 0;
  for (let step = framer.next(); step !== 'more'; step = framer.next()) {
    if (step === 'fault') return false;
    if (step === 'head') heads += 1;
  }
  return heads === 1 && framer.idle;
}

function chunksOf(bytes: Buffer): Buffer[] {
  const chunks: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += chunkBytes) chunks.push(bytes.subarray(at, at + chunkBytes));
  return chunks;
}

function message(lines: readonly string[], body = ''): Buffer {
  return Buffer.from([...lines, `Content-Length: ${Buffer.byteLength(body)}`, '', body].join('\r\n'));
}

function common(index: number, cseq: string): string[] {
  return [
    'Via: SIP/2.0/TLS 192.0.2.10:50123;branch=z9hG4bKc0ffee', 'Max-Forwards: 70',
    `From: <sip:user${index}@contoso.example>;tag=1234567${index};epid=00112233445${index}`, `To: <sip:user${index}@contoso.example>`,
    `Call-ID: 8d8b20f87c9c4221a732f3a70f57e9b${index}`, `CSeq: ${cseq}`, 'User-Agent: UCCAPI/16.0.4266.1001 OC/16.0.4266.1001',
  ];
}

function registration(index: number): Buffer[] {
  const contact = `Contact: <sip:192.0.2.10:50123;transport=tls;ms-opaque=c0ffee>;methods="INVITE, MESSAGE, INFO";proxy=replace;+sip.instance="<urn:uuid:${index}>"`;
  return [
    message(['REGISTER sip:contoso.example SIP/2.0', ...common(index, '1 REGISTER'), contact, 'Supported: gruu-10, adhoclist', 'ms-keep-alive: UAC;hop-hop=yes']),
    message(['SIP/2.0 401 Unauthorized', ...common(index, '1 REGISTER'), ...['NTLM', 'Kerberos', 'TLS-DSK'].map((scheme) => `WWW-Authenticate: ${scheme} realm="SIP Communications Service", targetname="pool.contoso.example", version=4`)]),
    message(['SIP/2.0 200 OK', ...common(index, '2 REGISTER'), `${contact};expires=7200`, 'Server: RTC/7.0', 'ms-keep-alive: UAS; tcp=no; hop-hop=yes; end-end=no; timeout=300']),
  ];
}

function call(index: number): Buffer[] {
  const sdp = `v=0\r\no=- 0 0 IN IP4 192.0.2.10\r\ns=session\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\nm=audio 5003${index} RTP/AVP 114 9 0 8\r\na=rtpmap:114 SIREN/16000\r\na=rtpmap:9 G722/8000\r\n`;
  const type = 'Content-Type: application/sdp';
  return [
    message(['INVITE sip:bob@contoso.example SIP/2.0', ...common(index, '1 INVITE'), type], sdp),
    message(['SIP/2.0 100 Trying', ...common(index, '1 INVITE')]),
    message(['SIP/2.0 180 Ringing', ...common(index, '1 INVITE')]),
    message(['SIP/2.0 200 OK', ...common(index, '1 INVITE'), type], sdp),
    message(['ACK sip:bob@contoso.example SIP/2.0', ...common(index, '1 ACK')]),
    message(['BYE sip:bob@contoso.example SIP/2.0', ...common(index, '2 BYE')]),
    message(['SIP/2.0 200 OK', ...common(index, '2 BYE')]),
  ];
}

function presence(index: number): Buffer {
  const xml = `<?xml version="1.0"?><categories>${'<category name="state" instance="1"/>'.repeat(300)}</categories>`;
  return message([`BENOTIFY sip:user${index}@contoso.example SIP/2.0`, ...common(index, '7 BENOTIFY'), 'Event: presence', 'Content-Type: application/msrtc-event-categories+xml'], xml);
}
