// openssl s_server as a web server that cannot be had without a client certificate: it ends the handshake of who has none. (nginx only
// answers 400 afterwards.)

import type { Program } from '../../../support/program.ts';
import type { LabCertificates } from '../certificates.ts';
import type { Host } from '../host.ts';
import { address } from '../names.ts';

/** One server for each TLS version on 443 of `required-tls12` and `required-tls13`; `GET /` answers a page about the connection. */
export async function startRequiringServers(host: Host, { server, userRootFile }: LabCertificates): Promise<[tls12: Program, tls13: Program]> {
  const start = (name: 'required-tls12' | 'required-tls13', version: string): Promise<Program> => {
    const socket = `${address(name).v4}:443`;
    const command = [
      'openssl', 's_server', '-accept', socket, '-cert', server.certFile, '-key', server.keyFile, version, '-Verify', '1', '-verify_return_error',
      '-CAfile', userRootFile, '-www',
    ];
    return host.spawn(name, command, { listens: [socket] });
  };
  return [await start('required-tls12', '-tls1_2'), await start('required-tls13', '-tls1_3')];
}
