// What clients fetch to trust and use the gateway: the CA certificate, Apple's configuration profile around it, and a
// proxy auto-configuration file. Pure texts; the certificate comes from the caller.

import { createHash } from 'node:crypto';
import type { AdminOptions } from './options.ts';
import { AdminFault } from './fault.ts';
import { hostOf } from './listen.ts';
import type { Route } from './routes.ts';

/** Routes of the files that the options can make. Open to all: a CA certificate is no secret. */
export function caRoutes(options: AdminOptions): Route[] {
  const { ca, proxyPort } = options;
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
    add('/ca.mobileconfig', 'application/x-apple-aspen-config', 'sallyport-ca.mobileconfig', () => mobileConfig(ca().der));
  }
  if (proxyPort !== undefined) {
    routes.push({
      method: 'GET', path: '/proxy.pac', need: 'none',
      answer: ({ headers }) => {
        const host = hostOf(headers.host ?? '');
        if (host === null) throw new AdminFault(400, 'BAD_HOST', 'The Host header is missing or not well formed.');
        return { status: 200, type: 'application/x-ns-proxy-autoconfig', body: proxyPac(host, proxyPort) };
      },
    });
  }
  return routes;
}

/** An Apple configuration profile that installs the certificate as a trusted root (Configuration Profile Reference, com.apple.security.root). */
export function mobileConfig(der: Buffer): string {
  const data = der.toString('base64').replaceAll(/.{64}/g, '$&\n');
  return `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
  <key>PayloadType</key><string>Configuration</string>
  <key>PayloadVersion</key><integer>1</integer>
  <key>PayloadIdentifier</key><string>sallyport.ca</string>
  <key>PayloadUUID</key><string>${stableUuid(der, 'profile')}</string>
  <key>PayloadDisplayName</key><string>Sallyport gateway CA</string>
  <key>PayloadDescription</key><string>Lets this device trust the certificates that the Sallyport gateway shows.</string>
  <key>PayloadContent</key>
  <array>
    <dict>
      <key>PayloadType</key><string>com.apple.security.root</string>
      <key>PayloadVersion</key><integer>1</integer>
      <key>PayloadIdentifier</key><string>sallyport.ca.root</string>
      <key>PayloadUUID</key><string>${stableUuid(der, 'root')}</string>
      <key>PayloadDisplayName</key><string>Sallyport gateway CA</string>
      <key>PayloadCertificateFileName</key><string>sallyport-ca.cer</string>
      <key>PayloadContent</key>
      <data>
${data}
      </data>
    </dict>
  </array>
</dict>
</plist>
`;
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

/** The same certificate always gives the same profile, so that installing it again replaces it. */
function stableUuid(der: Buffer, part: string): string {
  const hex = createHash('sha256').update(part).update(der).digest('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`.toUpperCase();
}
