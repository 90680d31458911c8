// The Debian packages that tests run against, and their installation. Never starts or leaves running the services that
// Debian would start, and does nothing when not root or when everything is there.

import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { runProgram } from './program.ts';

/** Package, and the file that proves it is there. */
export const labPackages: Readonly<Record<string, string>> = {
  iproute2: '/usr/sbin/ip',
  nftables: '/usr/sbin/nft',
  'ca-certificates': '/etc/ssl/certs/ca-certificates.crt',
  openssl: '/usr/bin/openssl',
  curl: '/usr/bin/curl',
  python3: '/usr/bin/python3',
  tcpdump: '/usr/bin/tcpdump',
  prometheus: '/usr/bin/promtool',
  wget: '/usr/bin/wget',
  git: '/usr/bin/git',
  'nghttp2-client': '/usr/bin/h2load',
  'apache2-utils': '/usr/bin/htpasswd',
  haproxy: '/usr/sbin/haproxy',
  squid: '/usr/sbin/squid',
  tshark: '/usr/bin/tshark',
  logrotate: '/usr/sbin/logrotate',
  systemd: '/usr/bin/systemd-analyze',
  'gnutls-bin': '/usr/bin/gnutls-cli',
  'default-jdk-headless': '/usr/bin/javac',
  'firefox-esr': '/usr/bin/firefox-esr',
  chromium: '/usr/bin/chromium',
  'libnss3-tools': '/usr/bin/certutil',
  'nginx-light': '/usr/sbin/nginx',
  kamailio: '/usr/sbin/kamailio',
  'kamailio-tls-modules': '/usr/share/doc/kamailio-tls-modules',
  stunnel4: '/usr/bin/stunnel4',
  'sip-tester': '/usr/bin/sipp',
  'linphone-cli': '/usr/bin/linphonec',
  'baresip-core': '/usr/bin/baresip',
  'mariadb-server-core': '/usr/sbin/mariadbd',
  'mariadb-client-core': '/usr/bin/mariadb',
  coturn: '/usr/bin/turnserver',
  gcc: '/usr/bin/cc',
  'libc6-dev': '/usr/include/stdio.h',
  'pkg-config': '/usr/bin/pkg-config',
  'libnice-dev': '/usr/include/nice/agent.h',
  'libpurple-dev': '/usr/include/libpurple/purple.h',
  'libpurple0': '/usr/share/doc/libpurple0',
  'pidgin-sipe': '/usr/lib/purple-2/libsipe.so',
};

/** The packages of the list that are not there. */
export function missingPackages(): string[] {
  return Object.entries(labPackages).filter(([, proof]) => !existsSync(proof)).map(([name]) => name);
}

/** True when this process may install packages and make namespaces. */
export const isRoot = process.getuid?.() === 0;

/** Installs what is missing (root only), telling `say` of each step; answers what is still missing. */
export async function installPackages(say: (line: string) => void): Promise<string[]> {
  const missing = missingPackages();
  if (missing.length === 0 || !isRoot || !existsSync('/usr/bin/apt-get')) return missing;
  say(`installing ${missing.length} Debian packages: ${missing.join(' ')}`);
  const guard = blockServices();
  try {
    await apt(['update'], say);
    await apt(['install', '--yes', '--no-install-recommends', ...missing], say);
  } finally {
    guard();
  }
  return missingPackages();
}

async function apt(args: readonly string[], say: (line: string) => void): Promise<void> {
  const started = Date.now();
  const ticker = setInterval(() => say(`apt-get ${args[0] ?? ''}: ${Math.round((Date.now() - started) / 1000)} s`), 15_000);
  const env = { ...aptEnvironment(), DEBIAN_FRONTEND: 'noninteractive' };
  const result = await runProgram(['apt-get', '-q', '-o', 'DPkg::Lock::Timeout=120', ...args], { timeoutMs: 540_000, env });
  clearInterval(ticker);
  if (result.code !== 0) say(`apt-get ${args.join(' ')} failed:\n${result.stdout.slice(-2000)}\n${result.stderr.slice(-2000)}`);
}

/** A machine may reach its package mirror only through a proxy; nothing else of the environment is passed on. */
function aptEnvironment(): Record<string, string> {
  const names = ['http_proxy', 'https_proxy', 'no_proxy', 'HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY'];
  return Object.fromEntries(names.flatMap((name) => {
    const value = process.env[name];
    return value === undefined ? [] : [[name, value]];
  }));
}

/** Debian asks this file before it starts a service on installation; 101 means no. An existing one is left alone. */
function blockServices(): () => void {
  const file = '/usr/sbin/policy-rc.d';
  if (existsSync(file)) return () => { /* Somebody else's rule stands. */ };
  writeFileSync(file, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  return () => rmSync(file, { force: true });
}
