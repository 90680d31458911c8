// The config that runs without a file, as YAML text read by the same loader: documentation and product are one. It needs no
// root and listens on loopback alone.

import { faultText, loadConfig } from './load.ts';
import type { Config } from './schema.ts';

export interface BuiltinOptions {
  /** As root the state is kept in /var/lib/sallyport, else in ./state. */
  readonly root: boolean;
}

/** The built-in config's text. */
export function builtinText(options: BuiltinOptions): string {
  return `# What \`sallyport run\` does without a config file. Nothing here is reachable from other machines.
state: ${options.root ? '/var/lib/sallyport' : './state'}
workers: auto
tunnelOnError: true               # trouble before the client was answered becomes a tunnel

admin:
  listen: 127.0.0.1:9090          # console, API and metrics

issuer:
  crl:
    listen: 127.0.0.1:9080        # CRL and OCSP of emulated certificates
    host: auto

services:
  - name: proxy
    type: http-explicit
    listen: 127.0.0.1:3128
    detectProtocol: true
  - name: socks
    type: socks
    listen: 127.0.0.1:1080
    detectProtocol: true

upstream:
  allowLocal: true                # clients are on this machine anyway; the gateway's own listeners stay out of reach

policy:
  connection:
    - { name: all, then: allow }
  ssl:
    - { name: intercept, then: intercept, handoff: true, tunnelOnError: true, clientCert: tunnel }
  certificate:
    - { name: bad, then: deny }   # the reason is shown as an error page
  protocol:
    - { name: unknown, when: { protocol: [unknown, undetected, pending] }, then: relay }
    - { name: known, then: handoff }
  http: [{ name: all, then: allow }]
  sip: [{ name: all, then: allow }]
  turn: [{ name: all, then: allow }]
`;
}

/** The built-in config, loaded. */
export function builtinConfig(options: BuiltinOptions): Config {
  const loaded = loadConfig(builtinText(options), builtinName);
  if (!loaded.ok) throw new Error(`the built-in config is broken: ${loaded.faults.map(faultText).join('; ')}`);
  return loaded.config;
}

/** What the built-in config is called in faults and warnings. */
export const builtinName = 'built-in.yaml';
