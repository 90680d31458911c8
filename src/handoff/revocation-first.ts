// Revocation data is for every client, whatever policy says of its flow: where a rule is to deny, tunnel or relay a flow to a port of the
// distribution points, the head of the first request is looked at before. Who asks for anything
// else has lost no byte by it.

import type { Duplex } from 'node:stream';
import type { Revocation } from '../core/certificates.ts';
import type { EntryDeps, Flow } from '../core/flow.ts';
import type { Limits } from '../core/limits.ts';
import { revocationRule } from '../core/verdicts.ts';
import { serveRevocation } from '../http/forward.ts';
import { HeadReader, isFault } from '../http/head-reader.ts';
import { requestHost } from '../http/head-rules.ts';
import { Peek } from '../listener/peek.ts';

/** What clients ask for revocation data with. */
const methods = ['GET ', 'HEAD ', 'POST '].map((text) => Buffer.from(text, 'latin1'));

/**
 * Whether the flow's first request is for revocation data. Other ports are not looked at. Whoever could still be asking is waited for, detectMs
 * at most: servers that speak first do not sit on these ports.
 */
export function asksForRevocation({ client, session, insideTls }: Flow, { revocation, limits }: { readonly revocation: Revocation; readonly limits: Limits }): Promise<boolean> {
  const mayAsk = !insideTls && revocation.ports?.has(session.destination.port) === true;
  return mayAsk ? firstHost(client, limits).then((host) => host !== null && revocation.isHost(host)) : Promise.resolve(false);
}

/** Answers requests for revocation data, and nothing else, where policy would not have let it come to that. */
export async function tellRevocation(flow: Flow, deps: EntryDeps): Promise<'done'> {
  flow.session.protocol = 'http';
  flow.session.rule = revocationRule;
  deps.protocolChanged(flow.session);
  if (flow.session.chain.at(-1) !== 'http') flow.session.chain.push('http');
  return await serveRevocation(flow, deps);
}

/** The host that the first request names; null when the first bytes are none, or no request came in time. `anyMethod`: it is known to be a request. */
export function firstHost(client: Duplex, limits: Limits, anyMethod = false): Promise<string | null> {
  return new Promise((resolve) => {
    const reader = new HeadReader('request', limits);
    const settle = (host: string | null): void => {
      clearTimeout(timer);
      peek.release();
      resolve(host);
    };
    const judge = (): void => {
      const { bytes } = peek;
      const head = anyMethod || mayBecomeRequest(bytes) ? reader.read(bytes, 0) : null;
      if (head !== null && head !== 'more') settle(isFault(head) ? null : requestHost(head));
      else if (head === null || peek.ended || peek.error !== null) settle(null);
    };
    const timer = setTimeout(() => settle(null), limits.detectMs);
    const peek: Peek = new Peek(client, judge, limits.httpHeadBytesMax);
    judge();
  });
}

function mayBecomeRequest(bytes: Buffer): boolean {
  return methods.some((method) => {
    const length = Math.min(method.length, bytes.length);
    return method.compare(bytes, 0, length, 0, length) === 0;
  });
}
