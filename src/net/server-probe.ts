// Looks at the certificate that a TLS server shows, for the doctor: who signed it, and whether clients can learn from it where to ask if it is
// revoked. It believes whatever is shown, sends no request, and never rejects.

import type { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { connect } from 'node:tls';

/** What a server showed, or why nothing. */
export interface ServerFacts {
  /** `HOST:PORT` as asked for. */
  readonly server: string;
  readonly fault: string | null;
  /** On one line; empty with a fault. */
  readonly issuer: string;
  /** It names a CRL distribution point. */
  readonly namesCrl: boolean;
  /** It names an OCSP responder. */
  readonly namesOcsp: boolean;
}

const tlsPort = 443;
/** cRLDistributionPoints (2.5.29.31) in DER. */
const crlDistributionPoints = Buffer.from('0603551d1f', 'hex');

/** Shakes hands with `HOST` or `HOST:PORT` within `waitMs`, and leaves. */
export function lookAtServer(server: string, waitMs: number): Promise<ServerFacts> {
  const { host, port } = hostAndPort(server);
  return new Promise((resolve) => {
    const name = `${host.includes(':') ? `[${host}]` : host}:${String(port)}`;
    const settle = (fault: string | null, shown: X509Certificate | null): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve({
        server: name, fault, issuer: shown?.issuer.split('\n').join(', ') ?? '',
        namesCrl: shown?.raw.includes(crlDistributionPoints) === true, namesOcsp: /^OCSP - URI:/m.test(shown?.infoAccess ?? ''),
      });
    };
    const timer = setTimeout(() => settle('no answer in time', null), waitMs);
    const socket = connect({ host, port, rejectUnauthorized: false, ...(isIP(host) === 0 ? { servername: host } : {}) }, () => {
      const shown = socket.getPeerX509Certificate() ?? null;
      settle(shown === null ? 'it shows no certificate' : null, shown);
    });
    socket.on('error', (error) => settle('code' in error && typeof error.code === 'string' ? error.code : error.message, null));
  });
}

function hostAndPort(server: string): { host: string; port: number } {
  const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d+))?$/.exec(server) ?? [];
  return { host: bracketed ?? plain ?? server, port: port === undefined ? tlsPort : Number(port) };
}
