// The Debian packages that the benchmark runs, and their installation when they are missing and this process is root. It never leaves a
// service running that Debian would start.

import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { runProgram } from '../test/support/program.ts';

/** Package, and the file that proves it is there. */
export const benchPackages: Readonly<Record<string, string>> = {
  iproute2: '/usr/sbin/ip',
  nftables: '/usr/sbin/nft',
  curl: '/usr/bin/curl',
  'nginx-light': '/usr/sbin/nginx',
  wrk: '/usr/bin/wrk',
  'nghttp2-client': '/usr/bin/h2load',
  sslsplit: '/usr/bin/sslsplit',
  'squid-openssl': '/usr/lib/squid/security_file_certgen',
  mitmproxy: '/usr/bin/mitmdump',
  haproxy: '/usr/sbin/haproxy',
};

/** Those of the packages that are not there. */
export function missing(packages: readonly string[]): string[] {
  return packages.filter((name) => !existsSync(benchPackages[name] ?? ''));
}

/** Installs what is missing of the packages, telling `say`; answers what is missing still. */
export async function install(packages: readonly string[], say: (line: string) => void): Promise<string[]> {
  const wanted = missing(packages);
  if (wanted.length === 0 || !existsSync('/usr/bin/apt-get')) return wanted;
  say(`installing ${String(wanted.length)} Debian packages: ${wanted.join(' ')}`);
  const unblock = blockServices();
  try {
    await apt(['update'], say);
    await apt(['install', '--yes', '--no-install-recommends', ...wanted], say);
  } finally {
    unblock();
  }
  return missing(packages);
}

/** The installed version of a package, as dpkg tells it. */
export async function packageVersion(name: string): Promise<string> {
  const { stdout } = await runProgram(['dpkg-query', '--show', '--showformat', '${Version}', name]);
  return stdout.trim() === '' ? 'unknown' : stdout.trim();
}

const aptMs = 540_000;

async function apt(args: readonly string[], say: (line: string) => void): Promise<void> {
  // A machine may reach its package mirror only through a proxy; nothing else of the environment is passed on.
  const names = ['http_proxy', 'https_proxy', 'no_proxy', 'HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY'];
  const proxies = Object.fromEntries(names.flatMap((name) => {
    const value = process.env[name];
    return value === undefined ? [] : [[name, value]];
  }));
  const env = { ...proxies, DEBIAN_FRONTEND: 'noninteractive' };
  const result = await runProgram(['apt-get', '-q', '-o', 'DPkg::Lock::Timeout=120', ...args], { timeoutMs: aptMs, env });
  if (result.code !== 0) say(`apt-get ${args.join(' ')} failed:\n${result.stderr.slice(-2000)}`);
}

/** Debian asks this file before it starts a service on installation; 101 means no. An existing one is left alone. */
function blockServices(): () => void {
  const file = '/usr/sbin/policy-rc.d';
  if (existsSync(file)) return () => { /* Somebody else's rule stands. */ };
  writeFileSync(file, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  return () => rmSync(file, { force: true });
}
