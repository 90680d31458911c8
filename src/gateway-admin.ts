// What the admin server of a gateway is given: views, metrics of all processes, health, issuer, the token file.

import { randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { AdminFault } from './admin/fault.ts';
import type { AdminOptions, LearnedControl } from './admin/options.ts';
import type { ReadyConfig } from './commands/policy.ts';
import { captureControl } from './capture-control.ts';
import type { Certificates } from './certs/open.ts';
import type { Config } from './config/schema.ts';
import type { Logger } from './core/log.ts';
import type { Traffic } from './traffic.ts';
import type { InForce } from './in-force.ts';
import { readQuestion } from './policy/explain-facts.ts';
import { explainPolicy } from './policy/explain.ts';
import { renderMetrics } from './sessions/metrics-text.ts';
import type { MeterRegistry } from './sessions/metrics.ts';

export interface AdminParts {
  readonly config: Config;
  readonly traffic: Traffic;
  readonly certificates: Certificates;
  /** Figures of this process. */
  readonly registry: MeterRegistry;
  readonly log: Logger;
  readonly inForce: InForce;
  /** Whether the gateway is ending: it takes no more flows. */
  readonly draining: () => boolean;
  readonly learned: LearnedControl;
}

/** Options for startAdmin. Makes the token file on first use. */
export async function adminOptions({ config, traffic, certificates, registry, log, inForce, learned, draining }: AdminParts): Promise<AdminOptions> {
  const { host, port } = config.admin.listen;
  const proxyPort = explicitProxyPort(config, traffic);
  return {
    listen: `${host.includes(':') ? `[${host}]` : host}:${String(port)}`,
    token: await tokenIn(config.admin.tokenFile),
    readToken: await tokenIn(config.admin.readTokenFile),
    limits: config.limits,
    log,
    meter: registry.meter,
    view: traffic.view,
    metrics: async (accept, protocols) => await renderMetrics([await registry.read(), ...(await traffic.readMetrics())], accept, protocols),
    health: () => {
      const reasons = [draining() ? 'draining' : null, traffic.fault(), ...certificates.issuerInfo().faults].filter((reason) => reason !== null);
      return { ready: reasons.length === 0, reasons };
    },
    learned,
    explain: async (question) => explain(question, inForce.ready),
    config: () => masked(inForce.ready.config),
    async reload() {
      const faults = await inForce.reload();
      if (faults.length > 0) throw new AdminFault(422, 'CONFIG_INVALID', faults.join('\n'));
      return { reloaded: true };
    },
    issuer: async () => certificates.issuerInfo(),
    async revoke(order) {
      const request = readRevocation(order);
      if (request === null) throw new AdminFault(400, 'BAD_REQUEST', 'expected {"target": SERIAL or HOST, "keep": false}');
      // What workers showed a moment ago is on its way into the record.
      await sleep(2 * config.limits.stateSaveMs);
      const revoked = await certificates.revoke(request);
      // Revoked, and OCSP says so; what clients read in the CRL comes later.
      return { revoked, crlPending: certificates.unsigned() };
    },
    ca: () => ({ pem: certificates.caPem, der: certificates.caDer }),
    ...(config.capture.pcap === 'off' ? {} : { capture: captureControl({ folder: config.capture.pcap, limits: config.limits, log, controls: traffic.capture }) }),
    mobileConfig: () => certificates.revocation.answer('GET', '/ca.mobileconfig', null).body,
    ...(proxyPort === null ? {} : { proxyPort }),
  };
}

/** Port of the first explicit HTTP proxy, as it is bound where traffic is there already; null without such a service. */
export function explicitProxyPort({ services }: Config, traffic: Traffic | null): number | null {
  const proxy = services.find(({ type }) => type === 'http-explicit');
  return proxy === undefined ? null : traffic?.ports()[proxy.name] ?? proxy.listen.port;
}

function explain(question: unknown, { policy }: ReadyConfig): unknown {
  const read = readQuestion(question, policy.options.services, Date.now());
  if (!read.ok) throw new AdminFault(400, 'BAD_REQUEST', read.problem);
  return explainPolicy(policy, read.facts);
}

function readRevocation(order: unknown): { target: string; keep: boolean; reason: number } | null {
  if (typeof order !== 'object' || order === null || !('target' in order) || typeof order.target !== 'string') return null;
  return { target: order.target, keep: 'keep' in order && order.keep === true, reason: 0 };
}

/** The config without what must stay secret: credentials inside a proxy's address. */
function masked(config: Config): unknown {
  const proxy = config.upstream.proxy?.replace(/\/\/[^@/]*@/, '//***@') ?? null;
  return { ...config, upstream: { ...config.upstream, proxy } };
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
