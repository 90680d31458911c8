// Tells an HTTP/1 client why its flow is refused: waits, bounded, for a request to answer, sends the page in the form it
// accepts, and closes so that the page arrives. Nothing of the request is forwarded or kept.

import type { Deps, Flow, Refusal } from '../core/flow.ts';
import { endGently, ignoreErrors } from './closing.ts';
import { HeadReader, isFault } from './head-reader.ts';
import { pageBytes, pageFor } from './pages.ts';

/** Sends the page of a refusal and ends both sides. Does nothing to a client that is gone or was answered and closed. */
export async function refuseHttp1(flow: Flow, deps: Deps, refusal: Refusal): Promise<void> {
  const { client, upstream } = flow;
  if (upstream !== null) {
    ignoreErrors(upstream);
    upstream.destroy();
  }
  ignoreErrors(client);
  if (client.destroyed || !client.writable) {
    client.destroy();
    return;
  }
  const asked = await firstRequest(flow, deps);
  if (asked !== null && client.writable) {
    client.write(pageBytes(pageFor(refusal, asked.accept), { accept: asked.accept, toHead: asked.toHead, keepAlive: false }));
  }
  await endGently(client, deps.limits.lingerMs);
}

interface Asked {
  readonly accept: string | null;
  readonly toHead: boolean;
}

/** What matters of the first request; of a broken or unfinished one nothing is known. Null when the client asked nothing. */
function firstRequest(flow: Flow, deps: Deps): Promise<Asked | null> {
  const { client } = flow;
  const reader = new HeadReader('request', deps.limits);
  let bytes: Buffer | null = null;
  return new Promise((resolve) => {
    const settle = (asked: Asked | null): void => {
      clearTimeout(timer);
      client.off('data', onData).off('end', onEnd).off('close', onEnd);
      resolve(asked);
    };
    const onEnd = (): void => settle(bytes === null ? null : unknownRequest);
    const timer = setTimeout(onEnd, deps.limits.detectMs);
    const onData = (chunk: Buffer): void => {
      bytes = bytes === null ? chunk : Buffer.concat([bytes, chunk]);
      const head = reader.read(bytes, 0);
      if (head === 'more') return;
      settle(isFault(head) ? unknownRequest : { accept: head.accept, toHead: head.method === 'HEAD' });
    };
    client.on('data', onData).on('end', onEnd).on('close', onEnd);
    client.resume();
  });
}

const unknownRequest: Asked = { accept: null, toHead: false };
