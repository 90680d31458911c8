// Explicit proxies of the lab: services that clients are told of, where they are reached, and users for those that want a login.

import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import type { ConfigInput } from '../../../src/config/schema.ts';
import type { RunResult } from '../../support/program.ts';
import type { Host } from './host.ts';
import { network } from './names.ts';

type Services = ConfigInput['services'];

/** The user that every users file of the lab knows. */
export const user = { name: 'ann', password: 'pass:word' } as const;

/** An HTTP proxy and a SOCKS service, both open to everyone. */
export const openServices: Services = [
  { name: 'proxy', type: 'http-explicit', listen: '[::]:3128' },
  { name: 'socks', type: 'socks', listen: '[::]:1080' },
];

/** The same two behind a login. */
export function loginServices(usersFile: string): Services {
  writeFileSync(usersFile, execFileSync('htpasswd', ['-nbB', '-C', '5', user.name, user.password], { encoding: 'utf8' }));
  const auth = { users: usersFile, realm: 'The lab' };
  return [
    { name: 'login-proxy', type: 'http-explicit', listen: '[::]:3129', auth },
    { name: 'login-socks', type: 'socks', listen: '[::]:1081', auth },
  ];
}

/** Where clients reach a port of the gateway. */
export const gatewayAt = (port: number): string => `${network.gatewayToClient.v4}:${port}`;

/** curl with these arguments, quiet but for errors; never waits longer than 30 seconds. */
export function curlWith(host: Host, more: readonly string[]): Promise<RunResult> {
  return host.run(['curl', '-sS', '-m', '30', '--capath', '/nonexistent', ...more], { timeoutMs: 40_000 });
}
