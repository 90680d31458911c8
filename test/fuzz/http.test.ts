// Differential fuzzing against llhttp: what both accept is framed identically; what llhttp refuses we refuse, but for the
// differences listed here with their reasons; what only we refuse is refused for a listed reason. SALLYPORT_FUZZ_MESSAGES
// sets how many streams are generated (10 million and more were run); CI runs a bounded share with a fixed seed.

import { describe, expect, test } from 'vitest';
import { limitsWith } from '../../src/core/limits.ts';
import { detectHttp } from '../../src/http/detect.ts';
import { latin1, readStream } from '../unit/http/messages.ts';
import type { Seen } from '../unit/http/messages.ts';
import { askLlhttp, generate, seeded } from './http-llhttp.ts';
import type { OracleAnswer } from './http-llhttp.ts';

const shareOfCi = 60_000;
const streams = Number(process.env.SALLYPORT_FUZZ_MESSAGES ?? shareOfCi);
const seed = Number(process.env.SALLYPORT_FUZZ_SEED ?? 20_240_601);

/** llhttp refuses and we do not: its code, and why we are right to go on. */
const weAccept: Readonly<Record<string, string>> = {
  HPE_INVALID_METHOD: 'llhttp knows a fixed list of methods; RFC 9110 section 16.1 lets any token be one, and Windows services use their own',
  HPE_CLOSED_CONNECTION: 'bytes after a message that said close: the exchange drops them instead (RFC 9112 section 9.6)',
};

/** We refuse and llhttp does not: our reason. */
const weRefuse: ReadonlySet<string> = new Set([
  // llhttp leaves Host, and the form of the target against the method, to its caller
  'HTTP/1.1 without Host', 'more than one Host', 'bad character in Host', 'Host differs from the target', 'bad target', 'bad target of CONNECT', 'CONNECT with a body',
  // RFC 9112 section 2.2 asks to skip one empty line; llhttp skips any number of CR and LF
  'empty lines before the request', 'bare CR, bare LF or NUL in the request line', 'the first line is not an HTTP/1 request line',
  // llhttp takes these for HTTP; section 3 has no such line
  'bad request line', 'not HTTP/1.0 or HTTP/1.1', 'bad status line', 'no status line', 'bare CR, bare LF or NUL in the status line',
  // RFC 9112 section 6.1: an ambiguity that llhttp resolves by reading until close or by ignoring
  'Transfer-Encoding in HTTP/1.0', 'the last transfer coding is not chunked', 'unknown transfer coding', 'empty transfer coding', 'a coding after chunked', 'a body announced where none may be',
  // Folded lines and lengths: llhttp accepts some foldings (section 5.2 lets a gateway refuse) and 64-bit lengths
  'a folded or indented field line', 'Content-Length is too large', 'a chunk size is too large',
  // Section 7.1.1: an extension without a name or with an empty value
  'bad chunk extension', 'bad trailer line', 'a framing field in the trailer', 'bad character in a trailer', 'bad character in a trailer name',
]);

/** Chunked data without its coding; the stream was accepted, so the coding is right. */
function decoded(message: { framing: string; body: string }): string {
  if (message.framing !== 'chunked') return message.body;
  let data = '';
  let at = 0;
  for (;;) {
    const lineEnd = message.body.indexOf('\r\n', at);
    const size = Number.parseInt(message.body.slice(at, lineEnd), 16);
    if (lineEnd < 0 || Number.isNaN(size) || size === 0) return data;
    data += message.body.slice(lineEnd + 2, lineEnd + 2 + size);
    at = lineEnd + 4 + size;
  }
}

/** Null when the two agree or differ as listed; else what differs. */
function difference(kind: 'request' | 'response', ours: Seen, theirs: OracleAnswer): string | null {
  const refusedByUs = ours.why !== null;
  if (refusedByUs && theirs.refused === null) {
    return weRefuse.has(ours.why ?? '') ? null : `only we refuse: ${String(ours.why)}`;
  }
  // A head that is not whole is still waited for: nothing of it is forwarded, and its fault shows with the end of its line.
  if (ours.end !== 'head' && !refusedByUs && theirs.refused !== null && !(theirs.refused in weAccept)) return `only llhttp refuses: ${theirs.refused} ${theirs.reason ?? ''}`;
  // What was complete before the fault must be the same; a message is complete on our side when it was pushed before the end.
  const common = Math.min(ours.messages.length, theirs.messages.length);
  for (let index = 0; index < common; index += 1) {
    const [mine, other] = [ours.messages[index], theirs.messages[index]];
    if (mine === undefined || other === undefined || !other.complete) continue;
    if (mine.start !== other.start) return `start lines differ: ${mine.start} / ${other.start}`;
    if (decoded(mine) !== other.body) return `bodies differ: ${JSON.stringify(decoded(mine))} / ${JSON.stringify(other.body)}`;
  }
  const oursComplete = ours.messages.length - (ours.end === 'body' ? 1 : 0);
  const theirsComplete = theirs.messages.filter((message) => message.complete).length;
  if (!refusedByUs && theirs.refused === null && oursComplete !== theirsComplete) return `${kind}s: ${String(oursComplete)} / ${String(theirsComplete)}`;
  return null;
}

describe.each(['request', 'response'] as const)('%s streams', (kind) => {
  test('are framed as llhttp frames them, or refused', () => {
    const random = seeded(seed + (kind === 'request' ? 0 : 1));
    const counts = { messages: 0, both: 0, neither: 0, onlyUs: 0, onlyThem: 0 };
    const reasons = new Map<string, number>();
    for (let index = 0; index < streams; index += 1) {
      const bytes = generate(kind, random);
      const ours = readStream(kind, [bytes]);
      const theirs = askLlhttp(kind, bytes);
      // llhttp judges a line with the byte after it: where only it has not spoken yet, it is given that byte.
      const unspoken = ours.why !== null && theirs.refused === null && !weRefuse.has(ours.why);
      const found = difference(kind, ours, unspoken ? askLlhttp(kind, Buffer.concat([bytes, latin1('\r\n\r\n')])) : theirs);
      if (found !== null) expect.fail(`${found}\nstream ${String(index)}: ${JSON.stringify(bytes.toString('latin1'))}`);
      const outcome = ours.why === null ? (theirs.refused === null ? 'both' : 'onlyUs') : theirs.refused === null ? 'onlyThem' : 'neither';
      counts[outcome] += 1;
      counts.messages += Math.max(ours.messages.length, theirs.messages.length, 1);
      const reason = outcome === 'onlyUs' ? (ours.end === 'head' ? 'we wait for the end of a head that llhttp refuses already' : `llhttp refuses: ${String(theirs.refused)}`) : outcome === 'onlyThem' ? `we refuse: ${String(ours.why)}` : null;
      if (reason !== null) reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
    }
    if (streams > shareOfCi) console.log(JSON.stringify({ kind, seed, streams, counts, reasons: Object.fromEntries([...reasons].toSorted(([, one], [, other]) => other - one)) }, null, 1));
    // The generator is worth its time only while each outcome occurs.
    expect(counts.both).toBeGreaterThan(streams / 10);
    expect(counts.neither).toBeGreaterThan(streams / 20);
  });

  test('are read alike at any split', () => {
    const random = seeded(seed + 7);
    for (let index = 0; index < streams / 20; index += 1) {
      const bytes = generate(kind, random);
      const whole = readStream(kind, [bytes]);
      const pieces: Buffer[] = [];
      for (let at = 0; at < bytes.length;) {
        const next = at + 1 + Math.floor(random() * 9);
        pieces.push(bytes.subarray(at, next));
        at = next;
      }
      const split = readStream(kind, pieces);
      // A line without its end may be judged as soon as its bad byte is seen, or only with its end: nothing passes either way.
      const unfinished = split.end === 'head' || whole.end === 'head';
      expect(unfinished ? split.messages : split, JSON.stringify(bytes.toString('latin1'))).toEqual(unfinished ? whole.messages : whole);
    }
  });
});

test('detection answers alike at any split and finds every stream that a handler reads', () => {
  const random = seeded(seed + 9);
  const limits = limitsWith();
  for (let index = 0; index < streams / 20; index += 1) {
    const bytes = generate('request', random);
    const final = detectHttp(bytes, 'client', limits);
    let decided: unknown = 'more';
    for (let length = 0; length <= bytes.length && decided === 'more'; length += 1) decided = detectHttp(bytes.subarray(0, length), 'client', limits);
    expect(decided, JSON.stringify(bytes.toString('latin1'))).toEqual(final);
    if (readStream('request', [bytes]).messages.length > 0) expect(final).toEqual({ facts: null });
  }
});

test('the oracle refuses what it must, so that agreement means something', () => {
  expect(askLlhttp('request', latin1('GET / HTTP/1.1\nHost: a\r\n\r\n')).refused).toBe('HPE_INVALID_VERSION');
  expect(askLlhttp('request', latin1('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n')).refused).not.toBeNull();
});
