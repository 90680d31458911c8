// The way to what servers' certificates point at, as the config says of every connection to servers: through its proxy and by its name servers.
// It opens nothing by itself and judges no address; tls/fetch.ts does.

import { isIP } from 'node:net';
import type { Socket } from 'node:net';
import type { FetchWay } from '../core/certificates.ts';
import type { Limits } from '../core/limits.ts';
import { connectAny } from './connect-any.ts';
import { resolverFor } from './resolve.ts';
import type { Resolve } from './resolve.ts';
import { openThrough, readProxyUrl } from './upstream-proxy.ts';
import type { UpstreamProxy } from './upstream-proxy.ts';

/** `proxy` and `dns` are those of the config's upstream section. */
export function fetchWay({ proxy, dns }: { readonly proxy: string | null; readonly dns: readonly string[] }, limits: Limits): FetchWay {
  const resolve = resolverFor(dns, limits);
  if (proxy === null) return { resolve, httpProxy: null, open: null };
  const read = readProxyUrl(proxy);
  // HTTP proxies are asked in absolute form: many allow CONNECT to port 443 alone, and those that cache spare CAs the rest.
  if (read.kind === 'http') return { resolve, httpProxy: { origin: originOf(read), authorization: basic(read) }, open: null };
  return { resolve, httpProxy: null, open: (host, port) => openSocks(read, { host, port }, resolve, limits) };
}

async function openSocks(proxy: UpstreamProxy, target: { readonly host: string; readonly port: number }, resolve: Resolve, limits: Limits): Promise<Socket> {
  const addresses = isIP(proxy.host) === 0 ? await resolve(proxy.host) : [proxy.host];
  const socket = await connectAny(addresses, proxy.port, limits);
  await openThrough(socket, proxy, target, limits);
  return socket;
}

function originOf({ host, port }: UpstreamProxy): string {
  return `http://${host.includes(':') ? `[${host}]` : host}:${String(port)}`;
}

function basic({ login }: UpstreamProxy): string | null {
  return login === null ? null : `Basic ${Buffer.from(`${login.user}:${login.password}`, 'utf8').toString('base64')}`;
}
