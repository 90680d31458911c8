// One process's share of the traffic: sessions, certificates, policy, dialling and the listeners of all services, joined. It knows
// nothing of the console, of other processes or of the command line.

import type { Config, ServiceConfig } from './config/schema.ts';
import type { Certificates } from './certs/open.ts';
import type { UpstreamTrust } from './core/certificates.ts';
import type { Entry } from './core/flow.ts';
import type { Destination, Session } from './core/session.ts';
import type { SessionsView } from './core/sessions-view.ts';
import type { Policy } from './core/verdicts.ts';
import type { Limits } from './core/limits.ts';
import type { Logger } from './core/log.ts';
import type { Meter } from './core/meters.ts';
import { sessionFields } from './core/log.ts';
import { checkClientSource } from './handoff/client-source.ts';
import { Dialer } from './handoff/dial.ts';
import { readProxyUrl } from './handoff/upstream-proxy.ts';
import { noteDialled, shutDownAll } from './handoff/serve.ts';
import type { Service } from './handoff/serve.ts';
import { explicitHttp } from './http/explicit.ts';
import { serveRevocation } from './http/forward.ts';
import { Admission } from './listener/admission.ts';
import type { SharedPool } from './listener/admission.ts';
import { ProxySenders } from './listener/proxy-protocol.ts';
import { socksEntry } from './listener/socks.ts';
import { UserMap } from './listener/user-map.ts';
import { Users } from './listener/users.ts';
import type { LearnedView } from './policy/learned.ts';
import { openAccessLog, openRequestLog } from './sessions/access-log.ts';
import type { AccessLog, RequestLogFile } from './sessions/access-log.ts';
import { CaptureRecorder } from './sessions/capture.ts';
import type { CaptureFigures, CaptureOrder } from './sessions/capture.ts';
import { ServiceListeners } from './service-listeners.ts';
import type { SessionHistory } from './sessions/history.ts';
import { createMeter } from './sessions/metrics.ts';
import type { MeterRegistry } from './sessions/metrics.ts';
import { SessionTable } from './sessions/table.ts';
import { localView } from './sessions/view.ts';

export interface DataPlaneParts {
  readonly config: Config;
  readonly policy: Policy;
  readonly certificates: Certificates;
  readonly trust: UpstreamTrust;
  readonly registry: MeterRegistry;
  readonly log: Logger;
  /** Name of this process in session ids. */
  readonly worker: string;
  /** Processes that share the listeners; 1 when this is the only one. */
  readonly workers: number;
  readonly pool: SharedPool | null;
  /** Absent: nothing is learned. */
  readonly learned?: LearnedView;
  /** Listening sockets of the service manager, by service name. */
  readonly activated: ReadonlyMap<string, number>;
  /** Where closed sessions go, to be there after a restart; null: nowhere. */
  readonly history: SessionHistory | null;
  /** Closed sessions of earlier runs, to be shown with this process's own. */
  readonly earlier: readonly Session[];
}

/** Decrypted captures of a process, on an operator's order. */
export interface CaptureControls {
  start(order: CaptureOrder): Promise<void>;
  stop(): Promise<void>;
  figures(): Promise<readonly CaptureFigures[]>;
}

export interface DataPlane {
  readonly view: SessionsView;
  /** Ports by service name, as bound. */
  ports(): Readonly<Record<string, number>>;
  /** Takes another config for new flows; running ones go on as they began. Rejects, with nothing changed, when a listener cannot be bound. */
  reload(config: Config, policy: Policy, trust: UpstreamTrust): Promise<void>;
  reopenLogs(): Promise<void>;
  readonly capture: CaptureControls;
  /** Stops accepting, lets flows end for shutdownGraceMs, then ends them with SHUTDOWN. */
  drain(): Promise<void>;
}

/** The meter of a process for a config. */
export function meterFor(config: Config, worker: string): MeterRegistry {
  return createMeter({ worker, limits: config.limits, services: config.services.map(({ name }) => name), processMetrics: true });
}

/** Starts the listeners. Rejects with the system's error, the service named, when one cannot be bound. */
export async function startDataPlane(parts: DataPlaneParts): Promise<DataPlane> {
  const { config, log } = parts;
  const { meter } = parts.registry;
  const logs = await openLogs(config, meter, log);
  const { accessLog, requestLog } = logs;
  const table = new SessionTable({ worker: parts.worker, limits: config.limits, meter, accessLog, history: parts.history });
  table.restore(parts.earlier);
  const admission = new Admission(config.limits, parts.workers, parts.pool);
  const listeners = new ServiceListeners(parts.workers > 1, parts.activated);
  const recorder = new CaptureRecorder({
    folder: offIsNull(config.capture.pcap), keylog: offIsNull(config.capture.keylog), worker: parts.worker, limits: config.limits, meter, log, clock: Date.now,
  });
  const take = async (now: DataPlaneParts): Promise<void> => {
    if (now.config.services.some(({ source }) => source === 'client')) checkClientSource();
    const shared = { table, admission, recorder, requestLog, dialer: dialerFor(now.config) };
    await listeners.serve(now.config.services, (service) => serviceOf(service, now, shared));
  };
  try {
    await take(parts);
  } catch (caught) {
    await listeners.close();
    await recorder.close();
    await logs.close();
    throw caught;
  }
  return {
    view: localView(table),
    ports: () => listeners.ports(),
    async reload(newConfig, policy, trust) {
      await take({ ...parts, config: newConfig, policy, trust });
      parts.registry.allowServices(newConfig.services.map(({ name }) => name));
    },
    reopenLogs: () => logs.reopen(),
    capture: { start: (order) => recorder.start(order), stop: () => recorder.stop(), figures: async () => [recorder.figures()] },
    async drain() {
      await drain(table, listeners, config.limits, logs);
      await recorder.close();
    },
  };
}

/** The logs of lines that a config asks for. */
interface Logs {
  readonly accessLog: AccessLog | null;
  readonly requestLog: RequestLogFile | null;
  reopen(): Promise<void>;
  close(): Promise<void>;
}

async function openLogs({ logging, limits }: Config, meter: Meter, log: Logger): Promise<Logs> {
  const options = { limits, meter, log };
  const access = offIsNull(logging.access);
  const requests = offIsNull(logging.requests);
  const accessLog = access === null ? null : await openAccessLog({ ...options, path: access });
  try {
    const requestLog = requests === null ? null : await openRequestLog({ ...options, path: requests, clock: Date.now });
    const each = [accessLog, requestLog].filter((file) => file !== null);
    return {
      accessLog, requestLog,
      async reopen() { for (const file of each) await file.reopen(); },
      async close() { for (const file of each) await file.close(); },
    };
  } catch (caught) {
    await accessLog?.close();
    throw caught;
  }
}

function offIsNull(file: string): string | null {
  return file === 'off' ? null : file;
}

function dialerFor(config: Config): Dialer {
  return new Dialer({
    limits: config.limits,
    ownPorts: ownPorts(config),
    allowLocal: config.upstream.allowLocal,
    transparentServices: new Set(config.services.filter(({ acquire, to }) => acquire !== null || to !== null).map(({ name }) => name)),
    clientSourceServices: new Set(config.services.filter(({ source }) => source === 'client').map(({ name }) => name)),
    ...(config.upstream.proxy === null ? {} : { proxy: readProxyUrl(config.upstream.proxy) }),
    dns: config.upstream.dns,
    clock: Date.now,
  });
}

interface Shared {
  readonly table: SessionTable;
  readonly admission: Admission;
  readonly dialer: Dialer;
  readonly recorder: CaptureRecorder;
  readonly requestLog: RequestLogFile | null;
}

function serviceOf(service: ServiceConfig, parts: DataPlaneParts, { table, admission, dialer, recorder, requestLog }: Shared): Service {
  const { leafContextsMax, spareContextsMax } = parts.config.limits;
  // Contexts are the process's, whichever service's clients they answer.
  const limits: Limits = { ...parts.config.limits, ...service.limits, leafContextsMax, spareContextsMax };
  const { meter } = parts.registry;
  const learns = parts.config.learned.enabled;
  return {
    name: service.name,
    table,
    admission,
    destination: destinationOf(service, parts),
    ...(service.userMap === null ? {} : { users: new UserMap({ file: service.userMap, limits, log: parts.log, clock: Date.now }) }),
    ...(service.proxyProtocol.length === 0 ? {} : { proxySenders: new ProxySenders(service.proxyProtocol) }),
    deps: {
      limits, meter, policy: parts.policy, log: parts.log, trust: parts.trust, serviceType: service.type,
      revocation: parts.certificates.revocation,
      recorder,
      clientSource: service.source === 'client',
      ...(requestLog === null ? {} : { requestLog }),
      clock: Date.now,
      certFor: (request) => parts.certificates.certFor(request),
      protocolChanged: (session) => table.protocolChanged(session),
      dial: (flow) => dialer.dial(flow).then((socket) => {
        noteDialled(flow.session, socket);
        return socket;
      }),
      dialEarly: (session) => dialer.early(session),
      dropEarly: (session) => dialer.drop(session),
      noteRefusal(session, code) {
        parts.log.info({ ...sessionFields(session), code }, 'the client refused the emulated certificate');
        if (learns) parts.learned?.refused(session, code);
      },
      noteAccepted: (session) => { if (learns) parts.learned?.accepted(session); },
      ...(parts.policy.asksForClaim === true ? { matchName: (session, name) => dialer.matchName(session, name) } : {}),
      learnedBypass: (session) => (learns ? (parts.learned?.bypass(session) ?? null) : null),
    },
  };
}

function destinationOf(service: ServiceConfig, parts: DataPlaneParts): 'redirect' | 'tproxy' | Destination | Entry {
  if (service.to !== null) return { ip: null, host: service.to.host, port: service.to.port };
  if (service.acquire !== null) return service.acquire;
  const check = checkOf(service, parts);
  if (service.type === 'socks') return socksEntry(check, serveRevocation);
  const login = check === null || service.auth === null ? null : { check, realm: service.auth.realm };
  return explicitHttp({ login, via: service.via });
}

function checkOf(service: ServiceConfig, { config, registry, log }: DataPlaneParts): ((user: string, password: string) => Promise<boolean>) | null {
  if (service.auth === null) return null;
  const users = new Users({ file: service.auth.users, limits: { ...config.limits, ...service.limits }, meter: registry.meter, log, clock: Date.now });
  return (user, password) => users.check(user, password);
}

/** Every port this gateway listens on: a client must not reach them through it. */
function ownPorts(config: Config): ReadonlySet<number> {
  return new Set([...config.services.map(({ listen: { port } }) => port), config.admin.listen.port, config.issuer.crl.listen.port]);
}

/** How often a draining process looks whether its last flow has ended. */
const drainPollMs = 50;

async function drain(table: SessionTable, listeners: ServiceListeners, limits: Limits, logs: Logs): Promise<void> {
  const closing = listeners.close();
  const until = Date.now() + limits.shutdownGraceMs;
  while (table.active > 0 && Date.now() < until) await new Promise((resolve) => setTimeout(resolve, drainPollMs));
  shutDownAll();
  // Ended flows whose last words a client does not take hold nobody up for longer than other failed flows.
  const late = Date.now() + limits.lingerMs;
  // Each of them still has its line in the access log to come.
  while (table.active > 0 && Date.now() < late) await new Promise((resolve) => setTimeout(resolve, drainPollMs));
  await Promise.race([closing, new Promise((resolve) => setTimeout(resolve, late - Date.now()).unref())]);
  await logs.close();
}
