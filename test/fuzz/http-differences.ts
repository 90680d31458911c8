// Where our reading of HTTP/1 and llhttp's differ, each difference with its reason, and the comparison of one stream that holds both to it.

import { latin1, readStream } from '../unit/http/messages.ts';
import type { Seen } from '../unit/http/messages.ts';
import { askLlhttp } from './http-llhttp.ts';
import type { OracleAnswer } from './http-llhttp.ts';

/** What both made of a stream, and what of it differs without a listed reason. */
export interface Comparison {
  readonly ours: Seen;
  readonly theirs: OracleAnswer;
  readonly found: string | null;
}

/** Reads a stream with both. */
export function compare(kind: 'request' | 'response', bytes: Buffer): Comparison {
  const ours = readStream(kind, [bytes]);
  const theirs = askLlhttp(kind, bytes);
  // llhttp judges a line with the byte after it: where only it has not spoken yet, it is given that byte.
  const unspoken = ours.why !== null && theirs.refused === null && !weRefuse.has(ours.why);
  return { ours, theirs, found: difference(kind, ours, unspoken ? askLlhttp(kind, Buffer.concat([bytes, latin1('\r\n\r\n')])) : theirs) };
}

/** llhttp refuses and we do not: its code, and why we are right to go on. */
const weAccept: Readonly<Record<string, string>> = {
  HPE_INVALID_METHOD: 'llhttp knows a fixed list of methods; RFC 9110 section 16.1 lets any token be one, and Windows services use their own',
  'HPE_INVALID_CONSTANT: Invalid method for HTTP/x.x request': 'the same for methods that llhttp knows from RTSP',
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

function isAccepted({ refused, reason }: OracleAnswer): boolean {
  return refused !== null && (refused in weAccept || `${refused}: ${reason ?? ''}` in weAccept);
}

/** Null when the two agree or differ as listed; else what differs. */
function difference(kind: 'request' | 'response', ours: Seen, theirs: OracleAnswer): string | null {
  const refusedByUs = ours.why !== null;
  if (refusedByUs && theirs.refused === null) {
    return weRefuse.has(ours.why ?? '') ? null : `only we refuse: ${String(ours.why)}`;
  }
  // A head that is not whole is still waited for: nothing of it is forwarded, and its fault shows with the end of its line.
  if (ours.end !== 'head' && !refusedByUs && theirs.refused !== null && !isAccepted(theirs)) return `only llhttp refuses: ${theirs.refused} ${theirs.reason ?? ''}`;
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
