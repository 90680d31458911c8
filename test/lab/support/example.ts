// examples/skype-for-business.yaml as it stands, with the lab's addresses in place of the example's: the listeners of explicit services,
// the interfaces whose traffic is taken, the CRL's host, the servers' root. Nothing that decides anything is changed.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import type { ConfigInput } from '../../../src/config/schema.ts';
import type { LabCertificates } from './certificates.ts';
import type { Mode } from './config.ts';
import { network } from './names.ts';
import { repository } from './rules.ts';

/** Where the example's explicit services listen in the lab. */
export const explicitPorts = { http: 3128, socks5: 1080 } as const;

/** A config maker for `ConfigChanges.whole`. `more` replaces top-level settings, and is for what a test is about. */
export function skypeExample(acquire: Mode, more: Partial<ConfigInput> = {}): (certificates: LabCertificates, stateFolder: string) => ConfigInput {
  return (certificates, stateFolder) => {
    const config: ConfigInput = parse(readFileSync(join(repository, 'examples/skype-for-business.yaml'), 'utf8'));
    const host = network.gatewayToClient.v4;
    return {
      ...config,
      state: stateFolder,
      issuer: { ...config.issuer, crl: { ...config.issuer?.crl, host: `${host}:9080` } },
      services: (config.services ?? []).map((service) => ({
        ...service,
        listen: service.listen.replace('127.0.0.1', host),
        ...(service.acquire === undefined ? {} : { acquire }),
        ...(service.intercept === undefined ? {} : { intercept: { ...service.intercept, interfaces: 'lan' } }),
      })),
      upstream: { ...config.upstream, extraCa: [certificates.rootFile] },
      logging: { ...config.logging, access: 'access.jsonl' },
      ...more,
    };
  };
}
