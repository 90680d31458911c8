// Work on connections that are held: HTTP/1.1 requests, HTTP/2 requests, WebSocket messages.

import type { Bench, Measured, Work } from '../bench.ts';
import { echoes, h2load, wrk } from '../clients.ts';
import type { Requests } from '../clients.ts';
import { origins } from '../origins.ts';
import { haproxy } from '../peers/haproxy.ts';
import { mitmproxy } from '../peers/mitmproxy.ts';
import { mockttp } from '../peers/mockttp.ts';
import type { Instance } from '../peers/peer.ts';
import { sallyport } from '../peers/sallyport.ts';
import { squid } from '../peers/squid.ts';
import { sslsplit } from '../peers/sslsplit.ts';
import type { Site } from '../site.ts';
import { charged } from './cpu.ts';

const connections = 16;
const http2Connections = 4;
const http2Streams = 10;

/** Ours without looking at HTTP, fed the same traffic. */
export const opaque = 'Sallyport, opaque relay';

export const keepAlive: Bench = {
  name: 'keepalive',
  title: 'Request on a held connection (1 KiB answer)',
  about: 'HTTP/1.1 requests on held connections (wrk), also beside our own relay that does not look at HTTP',
  unit: 'ms CPU per request',
  freshInstance: false,
  ...requests((site, seconds) => wrk(site, connections, seconds)),
  contestants: [sallyport(), sallyport({ variant: 'opaque relay', ssl: 'relay' }), sslsplit(), squid(), mitmproxy(), mockttp, haproxy(origins.plain)].map((peer) => ({ peer })),
};

export const http2: Bench = {
  name: 'http2',
  title: `HTTP/2 request (h2load, ${String(http2Connections)} connections, ${String(http2Streams)} streams each, 1 KiB answer)`,
  about: 'HTTP/2 requests (h2load, 10 streams a connection); Squid, which has no HTTP/2, with as many HTTP/1.1 requests at once',
  unit: 'ms CPU per request',
  freshInstance: false,
  ...requests((site, seconds) => h2load(site, http2Connections, http2Streams, seconds)),
  contestants: [
    ...[sallyport(), mitmproxy(), mockttp].map((peer) => ({ peer })),
    { peer: squid({}, 'Squid (HTTP/1.1)'), work: requests((site, seconds) => h2load(site, http2Connections * http2Streams, null, seconds)) },
    { peer: haproxy(origins.http2, { http2: true }) },
  ],
};

export const websocket: Bench = {
  name: 'websocket',
  title: 'WebSocket message of 64 bytes and its echo',
  about: 'WebSocket messages and their echoes on held connections',
  unit: 'ms CPU per echo',
  freshInstance: false,
  ...requests(async (site, seconds) => {
    const { done, elapsedMs } = await echoes(site, connections, seconds);
    return { requests: done, perSecond: (done * 1000) / elapsedMs };
  }),
  contestants: [sallyport(), sallyport({ variant: 'opaque relay', ssl: 'relay' }), sslsplit(), squid(), mitmproxy(), mockttp, haproxy(origins.echo)].map((peer) => ({ peer })),
};

function requests(run: (site: Site, seconds: number) => Promise<Requests>): Work {
  return {
    // Long enough for V8 to have compiled what a request needs, on a busy machine too: a gateway runs for weeks.
    warmUp: async (site, effort) => void await run(site, 2 * effort.loadSeconds),
    async measure(site: Site, instance: Instance, effort): Promise<Measured> {
      const { result, ms } = await charged(instance, () => run(site, effort.loadSeconds));
      return { value: ms / result.requests, aside: { 'per second': result.perSecond } };
    },
  };
}
