// A real gateway in the lab's gateway host, started by the launcher from a config file, and its API as operators use it. Ends it with
// SIGTERM and holds it to a clean exit without internal errors.

import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { stringify } from 'yaml';
import type { ConfigInput } from '../../../src/config/schema.ts';
import type { Session } from '../../../src/core/session.ts';
import type { SessionPage } from '../../../src/core/sessions-view.ts';
import { describeResult, type Program } from '../../support/program.ts';
import type { LabCertificates } from './certificates.ts';
import { labConfig, type ConfigChanges } from './config.ts';
import type { Lab } from './lab.ts';
import { replayChanges } from './replayed.ts';
import { applyRules, removeRules, repository, sallyport } from './rules.ts';

export interface ApiAnswer {
  readonly status: number;
  readonly body: string;
}

/** One sample of the metrics: `name{labels} value`. */
export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

const admin = 'http://127.0.0.1:9090';
const pollMs = 50;
let started = 0;

export class Gateway {
  readonly configFile: string;
  readonly stateFolder: string;
  /** The CA that clients are to trust, as a file and as a folder that holds only it. */
  readonly caFile: string;
  readonly caFolder: string;
  readonly program: Program;
  /** Set by tests that change the policy while it runs: its records are then of two policies. */
  policyChanged = false;
  readonly #lab: Lab;

  private constructor(lab: Lab, program: Program, home: string) {
    this.#lab = lab;
    this.program = program;
    this.configFile = join(home, 'config.yaml');
    this.stateFolder = join(home, 'state');
    this.caFolder = join(home, 'trusted');
    this.caFile = join(this.caFolder, 'gateway.pem');
  }

  /** Starts it with new state (what `prepare` puts there apart) and waits for /readyz; then puts its rules in place. */
  static async start(lab: Lab, certificates: LabCertificates, changes: ConfigChanges): Promise<Gateway> {
    started += 1;
    const home = join(lab.gateway.folder, `gateway-${started}`);
    mkdirSync(join(home, 'trusted'), { recursive: true, mode: 0o755 });
    const stateFolder = join(home, 'state');
    mkdirSync(stateFolder, { mode: 0o700 });
    changes.prepare?.(stateFolder);
    const config: ConfigInput = labConfig(certificates, stateFolder, changes);
    const configFile = join(home, 'config.yaml');
    writeFileSync(configFile, stringify(config));
    const program = await lab.gateway.spawn(`gateway-${started}`, [...sallyport, 'run', '-c', configFile], { cwd: repository });
    const gateway = new Gateway(lab, program, home);
    try {
      await program.waitUntil(async () => (await gateway.api('/readyz')).status === 200, 'become ready', 30_000);
      copyFileSync(join(gateway.stateFolder, 'ca.pem'), gateway.caFile);
      await applyRules(lab.gateway, configFile);
    } catch (error) {
      await program.stop();
      throw error;
    }
    return gateway;
  }

  /** A request to the admin API from inside the gateway host; status 0 when nobody listens. */
  async api(path: string, method = 'GET'): Promise<ApiAnswer> {
    const { stdout } = await this.#lab.gateway.run(['curl', '-sS', '-g', '-m', '10', '-X', method, '-w', '\n%{http_code}', `${admin}${path}`]);
    const cut = stdout.lastIndexOf('\n');
    return { status: Number(stdout.slice(cut + 1)), body: stdout.slice(0, Math.max(cut, 0)) };
  }

  /** Ends a session with the token of the state folder, as the command line does; answers the status. */
  async kill(id: string): Promise<number> {
    const token = readFileSync(join(this.stateFolder, 'admin.token'), 'utf8').trim();
    const { stdout } = await this.#lab.gateway.run(['curl', '-sS', '-m', '10', '-X', 'DELETE', '-H', `Authorization: Bearer ${token}`, '-o', '/dev/null', '-w', '%{http_code}', `${admin}/api/sessions/${id}`]);
    return Number(stdout);
  }

  /** Sessions that the filter (CONTRACT "FILTER", not yet percent-encoded) names, newest first. */
  async page(filter = '', more: Readonly<Record<string, string>> = {}): Promise<SessionPage> {
    const query = [...filter.split('&').map((part) => part.trim()).filter((part) => part !== ''), ...Object.entries(more).map(([key, value]) => `${key}=${value}`)];
    const encoded = query.map((part) => part.split('=').map((piece, index) => (index === 0 ? piece : encodeURIComponent(piece))).join('=')).join('&');
    const { status, body } = await this.api(`/api/sessions${encoded === '' ? '' : `?${encoded}`}`);
    if (status !== 200) throw new Error(`/api/sessions?${encoded}: ${status} ${body}`);
    const page: SessionPage = JSON.parse(body);
    return page;
  }

  async sessions(filter = ''): Promise<readonly Session[]> {
    return (await this.page(filter)).sessions;
  }

  /** Runs `work` and answers the sessions that began meanwhile, oldest first, once there are `count` and all have ended. */
  async during<T>(work: () => Promise<T>, { count = 1, filter = '', waitMs = 8_000 } = {}): Promise<{ result: T; sessions: Session[] }> {
    const before = new Set((await this.sessions(filter)).map(({ id }) => id));
    const result = await work();
    const end = Date.now() + waitMs;
    for (;;) {
      const sessions = (await this.sessions(filter)).filter(({ id }) => !before.has(id)).toReversed();
      if (sessions.length >= count && sessions.every(({ state }) => state !== 'active')) return { result, sessions };
      if (Date.now() > end) throw new Error(`expected ${count} ended sessions, saw ${JSON.stringify(sessions, null, 1)}\nresult: ${JSON.stringify(result)}`);
      await sleep(pollMs);
    }
  }

  /** Waits until a session of the filter satisfies `test` and answers it. */
  async waitForSession(filter: string, test: (session: Session) => boolean, waitMs = 8_000): Promise<Session> {
    const end = Date.now() + waitMs;
    for (;;) {
      const sessions = await this.sessions(filter);
      const found = sessions.find(test);
      if (found !== undefined) return found;
      if (Date.now() > end) throw new Error(`no session of ${filter} is as wanted: ${JSON.stringify(sessions, null, 1)}`);
      await sleep(pollMs);
    }
  }

  /** All samples of /metrics. */
  async metrics(query = ''): Promise<Sample[]> {
    const { status, body } = await this.api(`/metrics${query}`);
    if (status !== 200) throw new Error(`/metrics${query}: ${status} ${body}`);
    return body.split('\n').flatMap((line) => sampleOf(line) ?? []);
  }

  /** Sum of a family's samples (name without `sallyport_`) whose labels include these. */
  async metric(name: string, labels: Readonly<Record<string, string>> = {}): Promise<number> {
    const samples = (await this.metrics()).filter((sample) => sample.name === `sallyport_${name}` && Object.entries(labels).every(([key, value]) => sample.labels[key] === value));
    return samples.reduce((sum, { value }) => sum + value, 0);
  }

  /** Lines of the access log. */
  accessLog(): Record<string, unknown>[] {
    const text = readFileSync(join(this.stateFolder, 'access.jsonl'), 'utf8');
    return text.split('\n').filter((line) => line !== '').map((line): Record<string, unknown> => JSON.parse(line));
  }

  /** Lines of the request log, oldest first. */
  requestLog(): Record<string, unknown>[] {
    const text = readFileSync(join(this.stateFolder, 'requests.jsonl'), 'utf8');
    return text.split('\n').filter((line) => line !== '').map((line): Record<string, unknown> => JSON.parse(line));
  }

  /** Resident memory of the gateway and its workers, in bytes. */
  memoryBytes(): number {
    return [this.program.pid, ...this.workerPids()].reduce((sum, pid) => sum + residentBytes(pid), 0);
  }

  /** Established connections to the servers' network once no session is active; empty when sessions still are. */
  async #leftConnections(): Promise<string> {
    const end = Date.now() + lastPacketsMs;
    for (;;) {
      if ((await this.sessions('state=active')).length > 0) return '';
      const listing = await this.#lab.gateway.mustRun(['ss', '-Htn', 'state', 'established', 'dst', '10.77.2.0/24', 'or', 'dst', 'fd77:2::/64']);
      if (listing.trim() === '' || Date.now() > end) return listing.trim();
      await sleep(pollMs);
    }
  }

  /** Process ids of its workers. */
  workerPids(): number[] {
    const { pid } = this.program;
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').map(Number).filter((child) => child > 0);
  }

  /** Ends it: no internal error may have been counted, no connection to a server outlive its session, SIGTERM must lead to exit code 0, and the policy must say of the records what was done. */
  async stop(): Promise<void> {
    if (!this.program.running) throw new Error(`the gateway ended by itself:\n${this.program.output()}`);
    const faults: string[] = [];
    const internalErrors = await this.metric('internal_errors_total');
    if (internalErrors !== 0) faults.push(`internal_errors_total is ${internalErrors}`);
    const left = await this.#leftConnections();
    if (left !== '') faults.push(`connections to servers outlived their sessions:\n${left}`);
    const { code, signal } = await this.program.stop(stopMs);
    if (code !== 0) faults.push(`SIGTERM led to ${code ?? signal ?? '?'} instead of exit code 0`);
    const replayed = this.policyChanged ? '' : await replayChanges(this.configFile, this.stateFolder);
    if (replayed !== '') faults.push(`explain --replay says otherwise than the gateway did:\n${replayed}`);
    const removed = await removeRules(this.#lab.gateway, this.configFile);
    if (removed.code !== 0) faults.push(`the rules could not be removed: ${describeResult(removed)}`);
    if (faults.length > 0) throw new Error(`${faults.join('\n')}\n${this.program.output()}`);
  }
}

/** shutdownGraceMs and some more. */
const stopMs = 20_000;
/** How long a closed session's last packets may take. */
const lastPacketsMs = 1_500;

function residentBytes(pid: number): number {
  try {
    const match = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
    return Number(match?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}

function sampleOf(line: string): Sample | null {
  const match = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/.exec(line);
  if (match === null) return null;
  const [, name = '', labels = '', value = ''] = match;
  const pairs = [...labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, key = '', text = '']): [string, string] => [key, text]);
  return { name, labels: Object.fromEntries(pairs), value: Number(value) };
}
