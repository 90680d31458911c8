// Opens one TLS layer: server first, then the client. Until the client's handshake begins nothing is said to the client, so every
// failure before it can still become a tunnel. What policy decided comes in as facts; this file only carries it out.

import { isIP } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { errorTable, FlowError } from '../core/errors.ts';
import type { ErrorCode } from '../core/errors.ts';
import type { CertificateProblem, LeafRequest, UpstreamTrust } from '../core/certificates.ts';
import type { Deps, Flow, Handled, Refusal } from '../core/flow.ts';
import type { CertificateVerdict, SslVerdict } from '../core/verdicts.ts';
import { acceptTls } from './accept.ts';
import type { ClientHello } from './hello-body.ts';
import { clientCertificateFor } from './client-certs.ts';
import { connectTls, UpstreamContexts } from './connect.ts';
import type { UpstreamTls } from './connect.ts';
import { asksForStaple, commonVersion, leafKeyFor, offerClass, shownOf, unlimited } from './offer.ts';
import type { ShownTls } from './offer.ts';
import { ServerSessions, sessionKey } from './server-sessions.ts';
import { aes128GcmSha256 } from './suites.ts';
import { UpstreamJudge } from './verify-upstream.ts';
import { problemCodes } from './verify.ts';

/** What conduct hands over with a TLS layer. */
export interface TlsFacts {
  readonly hello: ClientHello;
  readonly verdict: SslVerdict;
}

/** What belongs to a trust object and goes with it on reload. */
interface Trusted {
  readonly contexts: UpstreamContexts;
  readonly judge: UpstreamJudge;
  readonly sessions: ServerSessions;
}

const trusted = new WeakMap<UpstreamTrust, Trusted>();

/**
 * Opens the layer. `tunnel` when policy wants the bytes relayed after all (nothing wrong under intercept-on-exception, a certificate
 * rule, a client certificate). Rejects with codes of the stages dial, upstream-tls, certs and client-tls.
 */
export async function openTls(flow: Flow, deps: Deps, { hello, verdict }: TlsFacts): Promise<Handled> {
  if (commonVersion(hello, verdict.clientMinVersion) === null) throw new FlowError('NO_COMMON_TLS', `client offers ${hello.maxVersion ?? 'no TLS'}`);
  const upstream = await shakeUpstream(flow, deps, { hello, verdict });
  try {
    if (flow.upstream === null && tunnelsForOffer(upstream, verdict)) {
      upstream.resumption.drop();
      return ended(upstream, flow, deps, 'UPSTREAM_OFFERS_CLIENT_CERT');
    }
    const judged = problemsOf(upstream, flow, deps, { hello, verdict });
    const problems = judged instanceof Promise ? await judged : judged;
    noteUpstream(flow, upstream, problems);
    keepSessions(upstream, problems, trustOf(deps).judge);
    if (problems.length > 0) return await withProblems(flow, deps, { hello, verdict }, upstream, problems);
    if (verdict.action === 'intercept-on-exception') return ended(upstream, flow, deps, null);
    return await answerClient(flow, deps, { hello, verdict }, upstream, 'trusted');
  } catch (caught) {
    upstream.socket.destroy();
    throw caught;
  }
}

async function shakeUpstream(flow: Flow, deps: Deps, facts: TlsFacts): Promise<UpstreamTls> {
  const startedAt = performance.now();
  try {
    const upstream = await shaken(flow, deps, facts);
    deps.meter.observe('handshake_seconds', ['upstream'], (performance.now() - startedAt) / 1000);
    if (upstream.resumed) deps.meter.add('handshakes_resumed_total', ['upstream']);
    return upstream;
  } catch (caught) {
    // That of a dial is none.
    if (caught instanceof FlowError && errorTable[caught.code].stage === 'dial') throw caught;
    deps.meter.add('handshake_failures_total', ['upstream', caught instanceof FlowError ? caught.code : 'INTERNAL']);
    throw caught;
  }
}

async function shaken(flow: Flow, deps: Deps, { hello, verdict }: TlsFacts): Promise<UpstreamTls> {
  // Inside an outer layer (TLS in a CONNECT, TLS in TLS) the server is at the end of that layer.
  const raw = flow.upstream ?? (await deps.dial(flow));
  const { contexts, sessions } = trustOf(deps);
  const shown = clientCertificateFor(deps.trust.clientCerts ?? [], hello.sni ?? flow.session.destination.host ?? flow.session.destination.ip);
  const offer = offerClass(hello, deps.trust.minVersion);
  const quick = hello.ciphers.includes(aes128GcmSha256);
  const options = { servername: hello.sni, alpn: hello.alpn, context: contexts.for(offer, quick, shown), limits: deps.limits, secrets: deps.recorder?.secrets(flow.session) ?? null };
  // A server that knows the gateway by a certificate is shown it each time, and what is behind an outer layer has no address of its own.
  if (flow.upstream !== null || shown !== null) {
    const connected = await connectTls(raw, options);
    // Where the gateway shows a certificate of its own, the server has what it asked for.
    return { ...connected, offersClientCert: shown === null && connected.offersClientCert };
  }
  // Where clients keep their addresses, no server sees one client's session come from another. The destination is told by its address, or
  // by its name where a proxy resolves it.
  const { client, destination: { ip, host, port } } = flow.session;
  const key = sessionKey([deps.clientSource === true ? client.ip : null, ip, host, port, hello.sni, hello.alpn, offer.key, quick, verdict.rule, verdict.revocation]);
  const resumption = sessions.begin(key);
  try {
    return await connectTls(raw, options, resumption);
  } catch (caught) {
    // Nothing was said to the client yet: a server that stumbles over an old session is asked again without one.
    if (resumption.session === null) throw caught;
    resumption.stumbled();
    if (flow.client.destroyed || (caught instanceof FlowError && final.has(caught.code))) throw caught;
    return await connectTls(await deps.dial(flow), options, sessions.begin(key));
  }
}

/** Failures that have nothing to do with an old session: only in a full handshake does a server ask who we are. */
const final: ReadonlySet<ErrorCode> = new Set(['UPSTREAM_TLS_TIMEOUT', 'UPSTREAM_WANTS_CLIENT_CERT']);

/** A session is kept only of a server that nothing is wrong with, that did not ask who we are, and whose certificate may be shown without a staple. */
function keepSessions({ resumption, resumed, certificate, chainError, offersClientCert, version }: UpstreamTls, problems: readonly CertificateProblem[], judge: UpstreamJudge): void {
  if (problems.length > 0 || offersClientCert || judge.demandsStaple(certificate)) resumption.drop();
  else resumption.proven(resumed ? null : { certificate, chainError }, version === 'TLSv1.3');
}

/** A merely offered client certificate is acted on only where the rule lists it. */
function tunnelsForOffer(upstream: UpstreamTls, verdict: SslVerdict): boolean {
  return upstream.offersClientCert && verdict.clientCert === 'tunnel' && verdict.tunnelOnError.has('UPSTREAM_OFFERS_CLIENT_CERT');
}

/** Gives the server up in favour of a fresh connection. */
function ended(upstream: UpstreamTls, flow: Flow, deps: Deps, because: 'UPSTREAM_OFFERS_CLIENT_CERT' | null): 'tunnel' {
  flow.session.tunnelledOnError = because;
  if (because !== null) deps.meter.add('tunnelled_on_error_total', [because]);
  upstream.socket.destroy();
  return 'tunnel';
}

async function withProblems(flow: Flow, deps: Deps, facts: TlsFacts, upstream: UpstreamTls, problems: readonly CertificateProblem[]): Promise<Handled> {
  const verdict = deps.policy.certificate(flow.session, problems);
  deps.meter.add('policy_decisions_total', ['certificate', verdict.action]);
  flow.session.rule = verdict.rule;
  switch (verdict.action) {
    case 'tunnel':
      // There is no fresh connection to a server behind an outer layer.
      if (flow.upstream !== null) return await refuse(flow, deps, facts, upstream, problems, verdict);
      return ended(upstream, flow, deps, null);
    case 'accept': return await answerClient(flow, deps, facts, upstream, 'trusted');
    case 'mirror-untrusted': return await answerClient(flow, deps, facts, upstream, 'untrusted');
    case 'deny': return await refuse(flow, deps, facts, upstream, problems, verdict);
  }
}

/** Opens the client's side on a leaf that names only what was asked for, so that the reason can be told inside TLS. */
async function refuse(
  flow: Flow, deps: Deps, facts: TlsFacts, upstream: UpstreamTls, problems: readonly CertificateProblem[], verdict: CertificateVerdict,
): Promise<Handled> {
  const [first] = problems;
  const code = problemCodes[first ?? 'invalid'];
  flow.session.action = 'deny';
  upstream.socket.destroy();
  if (!facts.verdict.handoff) throw new FlowError(code, problems.join(', '));
  const refusal: Refusal = { code, detail: problems.join(', '), rule: verdict.rule, status: 502 };
  const request: LeafRequest = { ...leafRequest(flow, facts, unlimited), upstreamDer: null, upstreamFingerprint: null, trust: 'trusted' };
  const client = await acceptClient(flow, deps, facts, request, refusalNames.find((name) => facts.hello.alpn.includes(name)) ?? null, unlimited);
  return { ...flow, client, upstream: null, depth: flow.depth + 1, insideTls: true, openedAtMs: performance.now(), refusal };
}

/** What a refusal can be told in, the simpler one first; clients of others are told by what they say. */
const refusalNames = ['http/1.1', 'h2'];

async function answerClient(flow: Flow, deps: Deps, facts: TlsFacts, upstream: UpstreamTls, trust: 'trusted' | 'untrusted'): Promise<Flow> {
  const { certificate } = upstream;
  const shown = shownOf(upstream.version, upstream.suite, facts.verdict.clientMinVersion);
  const request: LeafRequest = {
    ...leafRequest(flow, facts, shown), trust, upstreamFingerprint: certificate.fingerprint256.replaceAll(':', '').toLowerCase(),
    // Only a leaf that is not held needs it.
    get upstreamDer() { return certificate.raw; },
  };
  const alpn = upstream.socket.alpnProtocol;
  const client = await acceptClient(flow, deps, facts, request, typeof alpn === 'string' ? alpn : null, shown);
  return { ...flow, client, upstream: upstream.socket, depth: flow.depth + 1, insideTls: true, openedAtMs: performance.now() };
}

function leafRequest(flow: Flow, { hello, verdict }: TlsFacts, shown: ShownTls): Omit<LeafRequest, 'trust' | 'upstreamDer' | 'upstreamFingerprint'> {
  return { host: hello.sni ?? flow.session.destination.host, ip: flow.session.destination.ip, key: leafKeyFor(hello, shown), issuer: verdict.issuer };
}

async function acceptClient(
  flow: Flow, deps: Deps, facts: TlsFacts, request: LeafRequest, alpn: string | null, { maxVersion, strongest }: ShownTls,
): Promise<TLSSocket> {
  const leaf = await deps.certFor(request);
  const startedAt = performance.now();
  flow.session.tls.leaf = { serial: leaf.serial, key: leaf.key, mirrored: leaf.mirrored };
  try {
    const client = await acceptTls(flow.client, leaf, { alpn, minVersion: facts.verdict.clientMinVersion, maxVersion, strongest, staple: asksForStaple(facts.hello), limits: deps.limits, secrets: deps.recorder?.secrets(flow.session) ?? null });
    deps.meter.observe('handshake_seconds', ['client'], (performance.now() - startedAt) / 1000);
    const resumed = client.isSessionReused();
    flow.session.tls.client = { version: client.getProtocol() ?? '', cipher: client.getCipher().name, alpn, ...(resumed ? { resumed } : {}) };
    if (resumed) deps.meter.add('handshakes_resumed_total', ['client']);
    return client;
  } catch (caught) {
    deps.meter.add('handshake_failures_total', ['client', caught instanceof FlowError ? caught.code : 'INTERNAL']);
    throw caught;
  }
}

function problemsOf(upstream: UpstreamTls, flow: Flow, deps: Deps, { hello, verdict }: TlsFacts): readonly CertificateProblem[] | Promise<readonly CertificateProblem[]> {
  // Without SNI a transparent client has named nothing we could compare; it compares names itself.
  const asked = hello.sni ?? flow.session.destination.host;
  const name = asked !== null && isIP(asked) !== 0 ? { host: null, ip: asked } : { host: asked, ip: null };
  return trustOf(deps).judge.problems(upstream, name, verdict.revocation);
}

function noteUpstream({ session }: Flow, upstream: UpstreamTls, problems: readonly CertificateProblem[]): void {
  const { socket } = upstream;
  session.tls.upstream = {
    version: upstream.version ?? '',
    cipher: upstream.suite,
    alpn: typeof socket.alpnProtocol === 'string' ? socket.alpnProtocol : null,
    name: session.sni === null && session.destination.host === null ? 'unverified' : 'verified',
    problems,
    ...(upstream.resumed ? { resumed: true } : {}),
  };
}

function trustOf(deps: Deps): Trusted {
  const known = trusted.get(deps.trust);
  if (known !== undefined) return known;
  const judge = new UpstreamJudge(deps.trust, deps.limits, () => deps.clock());
  const sessions = new ServerSessions(deps.limits, () => deps.clock(), (certificate) => judge.lastMs(certificate));
  const made = { contexts: new UpstreamContexts(deps.limits, deps.trust.roots), judge, sessions };
  trusted.set(deps.trust, made);
  return made;
}

/** Whether facts are those of a TLS layer. */
export function isTlsFacts(facts: unknown): facts is TlsFacts {
  return typeof facts === 'object' && facts !== null && 'hello' in facts && 'verdict' in facts;
}
