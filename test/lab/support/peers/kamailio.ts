// Kamailio as the SIP registrar of the lab: TLS on 443 of one address and on 5061 of another, digest authentication, bindings in
// memory. It routes no calls.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Program } from '../../../support/program.ts';
import type { Host } from '../host.ts';
import { address } from '../names.ts';

/** What the registrar takes as user and password, whoever registers. */
export const sipAccount = { user: 'alice', password: 'secret-of-alice' } as const;

/** Registers without a challenge: for a client that knows only Microsoft's authentication schemes. */
export const unchallengedUser = 'lync';

export interface KamailioOptions {
  /** PEM files of the server's certificate and key. */
  readonly certFile: string;
  readonly keyFile: string;
}

/** Starts it; ready when both ports listen, IPv4 and IPv6. */
export async function startKamailio(host: Host, { certFile, keyFile }: KamailioOptions): Promise<Program> {
  const [https, sips] = [address('sip'), address('sip-5061')];
  const sockets = [`${https.v4}:443`, `[${https.v6}]:443`, `${sips.v4}:5061`, `[${sips.v6}]:5061`];
  const tlsFile = join(host.folder, 'kamailio-tls.cfg');
  writeFileSync(tlsFile, [
    '[server:default]', 'method = TLSv1.2+', 'verify_certificate = no', 'require_certificate = no',
    `private_key = ${keyFile}`, `certificate = ${certFile}`, '',
  ].join('\n'));
  const file = join(host.folder, 'kamailio.cfg');
  writeFileSync(file, configuration(sockets, tlsFile, [https.name, sips.name]));
  const command = ['kamailio', '-f', file, '-DD', '-E', '-m', '32', '-M', '8', '-Y', host.folder, '-w', host.folder];
  return host.spawn('kamailio', command, { listens: sockets, readyMs: 30_000 });
}

function configuration(sockets: readonly string[], tlsFile: string, domains: readonly string[]): string {
  return `#!KAMAILIO
debug=2
log_stderror=yes
children=1
tcp_children=2
disable_tcp=no
enable_tls=yes
tcp_accept_no_cl=no
tcp_connection_lifetime=3605
auto_aliases=no
# sockets name tls only: no UDP, no plain TCP
${sockets.map((socket) => `listen=tls:${socket}`).join('\n')}
${domains.map((domain) => `alias="${domain}"`).join('\n')}
mpath="/usr/lib/x86_64-linux-gnu/kamailio/modules/:/usr/lib/aarch64-linux-gnu/kamailio/modules/"
loadmodule "tls.so"
loadmodule "kex.so"
loadmodule "corex.so"
loadmodule "pv.so"
loadmodule "sl.so"
loadmodule "textops.so"
loadmodule "maxfwd.so"
loadmodule "siputils.so"
loadmodule "xlog.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "auth.so"
modparam("tls", "config", "${tlsFile}")
modparam("usrloc", "db_mode", 0)
modparam("registrar", "max_expires", 600)
modparam("auth", "secret", "only the lab knows")

request_route {
  xlog("L_NOTICE", "lab: $rm from $si to $Ri:$Rp agent $ua\\n");
  if (is_method("REGISTER")) {
    # Every user name has the same password; the realm is the domain registered with.
    if ($fU != "${unchallengedUser}" && !pv_www_authenticate("$td", "${sipAccount.password}", "0")) {
      www_challenge("$td", "0");
      exit;
    }
    # pidgin-sipe reads the granted time only from this header, not from Contact.
    append_to_reply("Expires: 600\\r\\n");
    if (!save("location")) sl_reply_error();
    xlog("L_NOTICE", "lab: registered $tu\\n");
    exit;
  }
  if ($rm =~ "^(SUBSCRIBE|SERVICE|PUBLISH|MESSAGE)$") {
    sl_send_reply("489", "Bad Event");
    exit;
  }
  if (is_method("OPTIONS")) {
    sl_send_reply("200", "OK");
    exit;
  }
  if (!is_method("ACK")) sl_send_reply("404", "Not Here");
}
`;
}
