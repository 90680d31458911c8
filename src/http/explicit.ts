// The explicit HTTP proxy's entry: plain requests are forward.ts's; CONNECT is answered here, only once the destination is reached.
// What is inside the tunnel is for detection, not for this file.

import { entryRefusal } from '../core/entry-verdict.ts';
import { FlowError, toFlowError } from '../core/errors.ts';
import type { Entry, EntryDeps, Flow, Refusal } from '../core/flow.ts';
import { endGently } from './closing.ts';
import { goTo } from './forward-policy.ts';
import { hostAndPort } from './forward-target.ts';
import { converse, serveRevocation } from './forward.ts';
import type { ConnectRequest, ForwardOptions } from './forward.ts';
import { pageBytes, pageFor } from './pages.ts';

const established = Buffer.from('HTTP/1.1 200 Connection established\r\n\r\n', 'latin1');

/** The entry of `http-explicit` services. */
export function explicitHttp(options: ForwardOptions): Entry {
  return {
    async enter(flow, deps) {
      flow.session.chain.push('http-explicit');
      const asked = await converse(flow, deps, options);
      return asked === 'done' ? asked : await openTunnel(flow, deps, asked);
    },
  };
}

async function openTunnel(flow: Flow, deps: EntryDeps, asked: ConnectRequest): Promise<'done' | Flow> {
  const { session, raw } = flow;
  const target = hostAndPort(asked.target, null);
  if (target === null) return await refuse(flow, deps, asked, new FlowError('HTTP_MALFORMED', 'CONNECT wants host:port'));
  goTo(session, target);
  // Revocation data is for everyone, whatever policy says, and nothing is dialled for it.
  if (deps.revocation.isHost(asked.target)) {
    raw.write(established);
    return await serveRevocation(flow, deps);
  }
  const refusal = entryRefusal(session, deps);
  if (refusal !== null) return await refuse(flow, deps, asked, refusal);
  try {
    await deps.dialEarly(session);
  } catch (caught) {
    return await refuse(flow, deps, asked, toFlowError(caught));
  }
  raw.write(established);
  return { ...flow, repliedBytes: raw.bytesWritten };
}

async function refuse(flow: Flow, deps: EntryDeps, asked: ConnectRequest, error: FlowError): Promise<never> {
  const refusal: Refusal = { code: error.code, detail: error.detail, rule: flow.session.rule, status: null };
  flow.raw.write(pageBytes(pageFor(refusal, asked.accept), { accept: asked.accept, toHead: false, keepAlive: false }));
  await endGently(flow.raw, deps.limits.lingerMs);
  return await Promise.reject(error);
}
