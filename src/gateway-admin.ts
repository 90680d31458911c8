// What the admin server of a gateway is given: views, metrics of all processes, health, issuer, the token file.

import { randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { AdminOptions } from './admin/options.ts';
import type { Certificates } from './certs/open.ts';
import type { Config } from './config/schema.ts';
import type { Logger } from './core/log.ts';
import type { Traffic } from './gateway.ts';
import { renderMetrics } from './sessions/metrics-text.ts';
import type { MeterRegistry } from './sessions/metrics.ts';

export interface AdminParts {
  readonly config: Config;
  readonly traffic: Traffic;
  readonly certificates: Certificates;
  /** Figures of this process. */
  readonly registry: MeterRegistry;
  readonly log: Logger;
}

/** Options for startAdmin. Makes the token file on first use. */
export async function adminOptions({ config, traffic, certificates, registry, log }: AdminParts): Promise<AdminOptions> {
  const { host, port } = config.admin.listen;
  const proxy = config.services.find(({ type }) => type === 'http-explicit');
  return {
    listen: `${host.includes(':') ? `[${host}]` : host}:${String(port)}`,
    token: await tokenIn(config.admin.tokenFile),
    limits: config.limits,
    log,
    meter: registry.meter,
    view: traffic.view,
    metrics: async (accept, protocols) => await renderMetrics([await registry.read(), ...(await traffic.readMetrics())], accept, protocols),
    health: () => {
      const reasons = [traffic.fault(), ...certificates.issuerInfo().faults].filter((reason) => reason !== null);
      return { ready: reasons.length === 0, reasons };
    },
    issuer: async () => certificates.issuerInfo(),
    ca: () => ({ pem: certificates.caPem, der: certificates.caDer }),
    ...(proxy === undefined ? {} : { proxyPort: traffic.ports[proxy.name] ?? proxy.listen.port }),
  };
}

/** Readable by the owner alone: whoever has it may do everything. */
const tokenMode = 0o600;
const tokenBytes = 32;

async function tokenIn(file: string): Promise<string> {
  try {
    await mkdir(dirname(file), { recursive: true, mode: 0o700 });
    await writeFile(file, `${randomBytes(tokenBytes).toString('hex')}\n`, { flag: 'wx', mode: tokenMode });
  } catch (caught) {
    if (!(caught instanceof Error && 'code' in caught && caught.code === 'EEXIST')) throw caught;
  }
  return (await readFile(file, 'utf8')).trim();
}
