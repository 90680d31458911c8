// A whole gateway in this process and, with workers, in their processes: state folder, issuer, admin, revocation listener, and the
// data plane or those who run it. Parts are joined here and nowhere else.

import { availableParallelism } from 'node:os';
import { pacFor } from './admin/ca-files.ts';
import { startAdmin } from './admin/server.ts';
import type { Admin } from './admin/server.ts';
import { startRevocationListener } from './certs/listener.ts';
import { openCertificates } from './certs/open.ts';
import type { Certificates } from './certs/open.ts';
import type { Config } from './config/schema.ts';
import { startCheckpoints } from './core/checkpoints.ts';
import type { Logger } from './core/log.ts';
import type { SessionsView } from './core/sessions-view.ts';
import { certificateOptions } from './certificate-options.ts';
import { adminOptions, explicitProxyPort } from './gateway-admin.ts';
import { meterFor, startDataPlane } from './data-plane.ts';
import type { MeterRegistry } from './sessions/metrics.ts';
import { netPlan } from './net/plan.ts';
import { openLearned } from './learned.ts';
import { LearnedView } from './policy/learned.ts';
import { SessionHistory } from './sessions/history.ts';
import type { GatewayOptions, Traffic } from './traffic.ts';
import { installTrust, readTrust } from './trust.ts';
import { InForce } from './in-force.ts';
import { startWorkers } from './workers.ts';
import type { CrewOptions } from './workers.ts';

export interface Gateway {
  readonly adminPort: number;
  readonly revocationPort: number;
  readonly ports: Readonly<Record<string, number>>;
  readonly certificates: Certificates;
  readonly view: SessionsView;
  /** Reads the config again. Resolves to the faults that keep it from being taken (nothing has changed then), or to none. */
  reload(): Promise<readonly string[]>;
  reopenLogs(): Promise<void>;
  /** Drains and stops everything; resolves when nothing is left. */
  stop(): Promise<void>;
}

/** Worker processes that a config asks for. */
export function workersOf(config: Config): number {
  return config.workers === 'auto' ? availableParallelism() : config.workers;
}

/** Starts everything. Rejects with an Error whose message says what could not be opened or bound. */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const { log } = options;
  const { config } = options.ready;
  const workers = workersOf(config);
  const registry = meterFor(config, 'primary');
  /** What was opened, in the order in which it is closed. */
  const ends: (() => void | Promise<void>)[] = [];
  let draining = false;
  const stop = async (): Promise<void> => {
    draining = true;
    for (const end of ends) await end();
  };
  try {
    const certificates = await openCertificates(certificateOptions(config, registry, log, true));
    ends.unshift(() => certificates.close());
    for (const warning of certificates.issuerInfo().warnings) log.warn(warning);
    let traffic: Traffic | null = null;
    const pac = (hostHeader: string): string | null => pacFor(hostHeader, explicitProxyPort(config, traffic) ?? 0);
    const revocation = await startRevocationListener({
      ...config.issuer.crl.listen, revocation: certificates.revocation, limits: config.limits, ...(explicitProxyPort(config, null) === null ? {} : { proxyPac: pac }),
    });
    ends.unshift(() => revocation.close());
    const checkpoints = startCheckpoints(config.state, config.limits, log);
    ends.unshift(() => checkpoints.stop());
    const history = new SessionHistory({ folder: config.state, worker: 'w0', limits: config.limits, log });
    ends.unshift(() => history.close());
    const learned = openLearned({ config, meter: registry.meter, log, clock: Date.now });
    ends.unshift(() => learned.close());
    const joint = { ...options, workers, learned, history };
    let admin: Admin | null = null;
    // Stays until traffic has ended: it says that the gateway is draining.
    ends.unshift(async () => await admin?.close());
    const started = workers === 0 ? await localTraffic(joint, certificates, registry) : await startWorkers(joint);
    traffic = started;
    ends.unshift(() => started.drain());
    await tellDistributionFaults(certificates, config, log);
    const inForce = new InForce(options, started);
    ends.unshift(() => inForce.close());
    await inForce.follow();
    learned.follow(() => inForce.ready.config);
    admin = await startAdmin(await adminOptions({ config, traffic: started, certificates, registry, log, inForce, learned: learned.control, draining: () => draining }));
    return {
      adminPort: admin.port, revocationPort: revocation.port, ports: started.ports(), certificates, view: started.view, stop,
      reload: () => inForce.reload(), reopenLogs: started.reopenLogs,
    };
  } catch (caught) {
    await stop();
    throw caught;
  }
}

/** What clients will do first with an emulated certificate: without it, strict ones drop every connection. */
async function tellDistributionFaults(certificates: Certificates, config: Config, log: Logger): Promise<void> {
  const taken = new Set(netPlan(config.services).takings.flatMap(({ ports }) => ports));
  for (const { url, text } of await certificates.checkDistributionPoints()) {
    // A name that leads through the gateway: only its clients' requests pass it, not its own.
    if (taken.has(Number(new URL(url).port || '80'))) log.warn({ fault: text }, 'the CRL cannot be fetched from here: clients get it only where their requests pass this gateway');
    else log.error({ fault: text }, 'clients may not be able to fetch the CRL');
  }
}

async function localTraffic(options: CrewOptions, certificates: Certificates, registry: MeterRegistry): Promise<Traffic> {
  const { log, extraCa, learned, history, activated } = options;
  const { config, policy } = options.ready;
  const trust = installTrust(config.upstream, extraCa, certificates.issuerPems(), config.limits);
  const view = new LearnedView(Date.now, (what, place) => learned.tell(what, place));
  learned.listen(view.changed);
  const plane = await startDataPlane({ config, policy, certificates, trust, registry, log, worker: 'w0', workers: 1, pool: null, learned: view, history, earlier: history.read(), activated });
  return {
    ...plane, readMetrics: async () => [], fault: () => null,
    reload: (ready) => plane.reload(ready.config, ready.policy, readTrust(ready.config.upstream, extraCa, certificates.issuerPems(), ready.config.limits)),
  };
}
