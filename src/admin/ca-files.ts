// What clients fetch to trust and use the gateway: the CA certificate, Apple's configuration profile with it, and a
// proxy auto-configuration file. It makes only the last; certificate and profile come from the caller.

import type { AdminOptions } from './options.ts';
import { AdminFault } from './fault.ts';
import { hostOf } from './listen.ts';
import type { Route } from './routes.ts';

/** Routes of the files that the options can make. Open to all: a CA certificate is no secret. */
export function caRoutes(options: AdminOptions): Route[] {
  const { ca, mobileConfig, proxyPort } = options;
  const routes: Route[] = [];
  const add = (path: string, type: string, name: string, make: () => string | Buffer): void => {
    routes.push({
      method: 'GET', path, need: 'none',
      answer: () => ({ status: 200, type, body: make(), headers: { 'content-disposition': `attachment; filename="${name}"` } }),
    });
  };
  if (ca !== undefined) {
    add('/ca.pem', 'application/x-pem-file', 'sallyport-ca.pem', () => ca().pem);
    add('/ca.der', 'application/x-x509-ca-cert', 'sallyport-ca.cer', () => ca().der);
  }
  if (mobileConfig !== undefined) add('/ca.mobileconfig', 'application/x-apple-aspen-config', 'sallyport-ca.mobileconfig', mobileConfig);
  if (proxyPort !== undefined) {
    routes.push({
      method: 'GET', path: '/proxy.pac', need: 'none',
      answer: ({ headers }) => {
        const body = pacFor(headers.host ?? '', proxyPort);
        if (body === null) throw new AdminFault(400, 'BAD_HOST', 'The Host header is missing or not well formed.');
        return { status: 200, type: 'application/x-ns-proxy-autoconfig', body };
      },
    });
  }
  return routes;
}

/** The file for whoever fetched it under this Host header, naming that host; null where the header names none. */
export function pacFor(hostHeader: string, port: number): string | null {
  const host = hostOf(hostHeader);
  return host === null ? null : proxyPac(host, port);
}

/** A proxy auto-configuration file: plain names go direct, everything else through the gateway and nothing around it. */
export function proxyPac(host: string, port: number): string {
  const address = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
  return `function FindProxyForURL(url, host) {
  if (isPlainHostName(host) || host === ${JSON.stringify(host)} || host === "127.0.0.1" || host === "::1") return "DIRECT";
  return "PROXY ${address}";
}
`;
}
