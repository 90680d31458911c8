// Reads one line of an access log back into what policy may be asked about: the facts of a session that ended. It checks every value
// it uses and knows nothing of the rest of a line.

import { z } from 'zod';
import { certificateProblems } from '../core/certificates.ts';
import type { CertificateProblem } from '../core/certificates.ts';
import { isErrorCode } from '../core/errors.ts';
import type { ErrorCode } from '../core/errors.ts';
import { protocolNames } from '../core/protocols.ts';
import type { ProtocolName } from '../core/protocols.ts';
import { actions, addressMatches } from '../core/session.ts';
import type { Session } from '../core/session.ts';
import { nobody } from './facts.ts';

const text = z.string().nullable().default(null);
const code = z.custom<ErrorCode>((value) => typeof value === 'string' && isErrorCode(value)).nullable().default(null);
const endpoint = { ip: z.string(), port: z.int().min(0).max(65_535) };
const isProtocol = (word: string): word is ProtocolName => protocolNames.some((name) => name === word);

const line = z.object({
  id: z.string(),
  service: z.string(),
  client: z.object(endpoint),
  destination: z.object({ ...endpoint, ip: text, host: text }),
  startedAt: z.number(),
  sni: text,
  alpn: z.array(z.string()).default([]),
  ja4: text,
  claim: z.object({ name: z.string(), address: z.enum(addressMatches) }).nullable().optional(),
  user: text,
  protocol: z.enum(protocolNames),
  chain: z.array(z.string()),
  action: z.enum(actions).nullable(),
  tunnelledOnError: code,
  rule: text,
  error: code,
  errorDetail: text,
  tls: z.object({ upstream: z.object({ problems: z.array(z.enum(certificateProblems)) }).nullable() }).default({ upstream: null }),
});

/** A session as it was recorded. */
export interface RecordedFlow {
  readonly session: Session;
  readonly problems: readonly CertificateProblem[];
  /** The first layer after that of an explicit service; null where nothing was looked at. */
  readonly outer: ProtocolName | null;
  /** What was found inside opened TLS; null where TLS was not opened, or the client left before. */
  readonly inner: ProtocolName | null;
}

/** The session of a line; null when the line is none. */
export function readRecorded(written: string): RecordedFlow | null {
  const parsed = line.safeParse(jsonOf(written));
  if (!parsed.success) return null;
  const { tls, destination, claim, ...known } = parsed.data;
  const explicit = known.chain[0] === 'socks' || known.chain[0] === 'http-explicit';
  const [outer, inner] = known.chain.slice(explicit ? 1 : 0).filter(isProtocol);
  // Who names a destination is asked about before it is resolved.
  const asked = explicit && destination.host !== null ? { ...destination, ip: null } : destination;
  return { session: { ...nobody, ...known, ...(claim === undefined ? {} : { claim }), destination: asked }, problems: problemsOf(tls.upstream?.problems ?? [], known.error, known.errorDetail), outer: outer ?? null, inner: outer === 'tls' ? (inner ?? null) : null };
}

/** Denied before anything was noted of the server, the error tells: its detail lists them, its code is the first. */
function problemsOf(noted: readonly CertificateProblem[], error: ErrorCode | null, detail: string | null): readonly CertificateProblem[] {
  if (noted.length > 0 || error === null || !error.startsWith('UPSTREAM_CERT_')) return noted;
  const word = error.slice('UPSTREAM_CERT_'.length).toLowerCase().replaceAll('_', '-');
  const listed = (detail ?? '').split(', ');
  return certificateProblems.filter((problem) => problem === word || listed.includes(problem));
}

function jsonOf(written: string): unknown {
  try {
    return JSON.parse(written);
  } catch {
    return null;
  }
}
