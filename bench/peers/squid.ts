// Squid (squid-openssl) from Debian: ssl_bump after looking at the server's certificate, transparent, no caching, access log on; or
// spliced, which passes TLS on unopened.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { mustRun } from '../../test/support/program.ts';
import type { Site } from '../site.ts';
import type { Peer, Setup } from './peer.ts';

const makerFile = '/usr/lib/squid/security_file_certgen';

/** A name of our own for what is the same program in another role. */
export function squid({ tunnels = false }: Setup = {}, name = 'Squid'): Peer {
  return {
    name,
    slug: 'squid',
    packageName: 'squid-openssl',
    about: `ssl_bump ${tunnels ? 'peek, splice' : 'peek, stare, bump; servers verified'}; one process; cache off; access log`,
    async start(site) {
      const port = site.port();
      const folder = site.home('squid');
      mkdirSync(join(folder, 'log'));
      const file = join(folder, 'squid.conf');
      writeFileSync(file, configuration(folder, port, site, tunnels));
      // A service name of its own: Squid's shared memory is named after it, and another Squid may run on this machine.
      await mustRun([makerFile, '-c', '-s', join(folder, 'certificates'), '-M', '16MB']);
      await mustRun(['chown', '-R', 'proxy:proxy', folder]);
      const program = await site.startProxy('squid', ['squid', '-N', '-n', `bench${String(process.pid)}x${String(port)}`, '-f', file], { listens: [`*:${String(port)}`], readyMs: 20_000 });
      return { program, port, caFile: tunnels ? null : site.issuer.certFile, beside: [] };
    },
  };
}

function configuration(folder: string, port: number, { issuer, origin, port: newPort }: Site, tunnels: boolean): string {
  return `
# Squid insists on a port for explicit clients; nobody uses it.
http_port 127.0.0.1:${String(newPort())}
https_port ${String(port)} intercept ssl-bump tls-cert=${issuer.certFile} tls-key=${issuer.keyFile} generate-host-certificates=on dynamic_cert_mem_cache_size=16MB
sslcrtd_program ${makerFile} -s ${join(folder, 'certificates')} -M 16MB
sslcrtd_children 2
tls_outgoing_options cafile=${origin.rootFile}
acl hello at_step SslBump1
acl server at_step SslBump2
ssl_bump peek hello
${tunnels ? 'ssl_bump splice all' : 'ssl_bump stare server\nssl_bump bump all'}
# Squid 5 compares protocol names letter by letter, and its own WebSocket is not the websocket that servers answer with.
http_upgrade_request_protocols OTHER allow all
http_access allow all
cache deny all
cache_mem 8 MB
max_filedescriptors 16384
shutdown_lifetime 1 second
pid_filename ${join(folder, 'squid.pid')}
access_log stdio:${join(folder, 'log', 'access.log')}
cache_log ${join(folder, 'log', 'cache.log')}
coredump_dir ${folder}
visible_hostname bench
`;
}
