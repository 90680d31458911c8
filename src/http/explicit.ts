// The explicit HTTP proxy's entry: reads the first request, opens the way for CONNECT and answers it only once the destination is
// reached, serves the revocation host itself. What is inside the tunnel is for detection, not for this file.

import { FlowError, toFlowError } from '../core/errors.ts';
import type { Entry, EntryDeps, Flow, Refusal } from '../core/flow.ts';
import type { Limits } from '../core/limits.ts';
import { HeadReader, isFault } from './head.ts';
import type { Head } from './head.ts';
import { hostName } from './judge.ts';
import { pageBytes, pageFor } from './pages.ts';

const established = Buffer.from('HTTP/1.1 200 Connection established\r\n\r\n', 'latin1');

/** What the explicit proxy does with requests that are not CONNECT; the bytes of the request are back in the stream. */
export type ForwardPlain = (flow: Flow, deps: EntryDeps) => Promise<'done'>;

/** The entry of `http-explicit` services. */
export function explicitHttp(forwardPlain: ForwardPlain): Entry {
  return {
    async enter(flow, deps) {
      const head = await firstHead(flow, deps.limits);
      flow.session.chain.push('http-explicit');
      if (head.method !== 'CONNECT') {
        flow.raw.unshift(head.bytes);
        return await forwardPlain(flow, deps);
      }
      return await openTunnel(flow, deps, head);
    },
  };
}

interface FirstHead {
  readonly method: string;
  readonly target: string;
  readonly accept: string | null;
  /** Everything read so far. */
  readonly bytes: Buffer;
  readonly lengthBytes: number;
}

async function openTunnel(flow: Flow, deps: EntryDeps, head: FirstHead): Promise<Flow> {
  const { session, raw } = flow;
  const target = /^(.+):(\d{1,5})$/.exec(head.target);
  const port = Number(target?.[2]);
  const host = hostName(head.target);
  if (target === null || host === '' || port < 1 || port > 65_535) return await refuse(flow, head, new FlowError('HTTP_MALFORMED', 'CONNECT wants host:port'));
  session.destination.host = host;
  session.destination.port = port;
  const verdict = deps.policy.connection(session);
  if (verdict.action === 'deny') {
    session.action = 'deny';
    session.rule = verdict.rule;
    return await refuse(flow, head, new FlowError('CONNECTION_DENIED'));
  }
  try {
    // The revocation host is ours: nothing is dialled for it.
    if (!deps.revocation.isHost(head.target)) await deps.dialEarly(session);
  } catch (caught) {
    return await refuse(flow, head, toFlowError(caught));
  }
  raw.write(established);
  if (head.bytes.length > head.lengthBytes) raw.unshift(head.bytes.subarray(head.lengthBytes));
  return { ...flow, repliedBytes: raw.bytesWritten };
}

async function refuse(flow: Flow, head: FirstHead | null, error: FlowError): Promise<never> {
  const refusal: Refusal = { code: error.code, detail: error.detail, rule: flow.session.rule, status: null };
  flow.raw.end(pageBytes(pageFor(refusal, head?.accept ?? null), { accept: null, toHead: head?.method === 'HEAD', keepAlive: false }));
  return await Promise.reject(error);
}

/** Reads until the first head is whole. Rejects with HTTP_MALFORMED, HTTP_AMBIGUOUS, NOT_HTTP, FIRST_BYTES_STALLED or CLIENT_CLOSED_EARLY. */
async function firstHead(flow: Flow, limits: Limits): Promise<FirstHead> {
  const { raw } = flow;
  const reader = new HeadReader('request', limits);
  let bytes: Buffer = Buffer.alloc(0);
  try {
    return await new Promise<FirstHead>((resolve, reject) => {
      const timer = setTimeout(() => settle(new FlowError('FIRST_BYTES_STALLED')), limits.httpHeadMs);
      const settle = (answer: Head | FlowError): void => {
        clearTimeout(timer);
        raw.off('data', onData);
        raw.off('end', onEnd);
        raw.off('close', onEnd);
        raw.pause();
        if (answer instanceof FlowError) reject(answer);
        else resolve({ method: answer.method, target: answer.target, accept: null, bytes, lengthBytes: answer.lengthBytes });
      };
      const onData = (chunk: Buffer): void => {
        bytes = bytes.length === 0 ? chunk : Buffer.concat([bytes, chunk]);
        const read = reader.read(bytes, 0);
        if (read === 'more') return;
        settle(isFault(read) ? new FlowError(read.code, read.why) : read);
      };
      const onEnd = (): void => settle(new FlowError('CLIENT_CLOSED_EARLY'));
      raw.on('data', onData);
      raw.on('end', onEnd);
      raw.on('close', onEnd);
      raw.resume();
    });
  } catch (caught) {
    const error = toFlowError(caught);
    if (error.code !== 'CLIENT_CLOSED_EARLY') return await refuse(flow, null, error);
    throw error;
  }
}
