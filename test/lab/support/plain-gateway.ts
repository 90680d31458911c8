// A gateway in any host of the lab with any config, beside others: it has its own ports and state, and puts no rules in place. Ends with SIGTERM and is
// held to a clean exit without internal errors.

import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { stringify } from 'yaml';
import type { ConfigInput } from '../../../src/config/schema.ts';
import type { Session } from '../../../src/core/session.ts';
import type { SessionPage } from '../../../src/core/sessions-view.ts';
import type { TestCert } from '../../support/certs.ts';
import type { Program } from '../../support/program.ts';
import type { Host } from './host.ts';
import { repository, sallyport } from './rules.ts';

export interface PlainOptions {
  readonly label: string;
  /** Admin on 127.0.0.1 of its host. */
  readonly adminPort: number;
  /** Its issuer; absent: it makes one. */
  readonly issuer?: TestCert;
  readonly config: Omit<ConfigInput, 'state' | 'workers' | 'admin'>;
}

export class PlainGateway {
  readonly caFile: string;
  readonly configFile: string;
  readonly #host: Host;
  readonly #program: Program;
  readonly #admin: string;

  private constructor(host: Host, program: Program, admin: string, home: string) {
    this.#host = host;
    this.#program = program;
    this.#admin = admin;
    this.caFile = join(home, 'ca.pem');
    this.configFile = join(home, 'config.yaml');
  }

  /** Starts it and waits until it is ready. */
  static async start(host: Host, { label, adminPort, issuer, config }: PlainOptions): Promise<PlainGateway> {
    const home = join(host.folder, label);
    const state = join(home, 'state');
    mkdirSync(state, { recursive: true, mode: 0o700 });
    if (issuer !== undefined) {
      writeFileSync(join(state, 'ca.pem'), issuer.certPem, { mode: 0o644 });
      writeFileSync(join(state, 'ca.key'), issuer.keyPem, { mode: 0o600 });
    }
    const whole: ConfigInput = { ...config, state, workers: 0, admin: { listen: `127.0.0.1:${String(adminPort)}` }, logging: { level: 'debug' } };
    writeFileSync(join(home, 'config.yaml'), stringify(whole));
    const program = await host.spawn(label, [...sallyport, 'run', '-c', join(home, 'config.yaml')], { cwd: repository });
    const gateway = new PlainGateway(host, program, `http://127.0.0.1:${String(adminPort)}`, home);
    await program.waitUntil(async () => (await gateway.#get('/readyz')) !== null, `${label} to become ready`, 30_000);
    copyFileSync(join(state, 'ca.pem'), gateway.caFile);
    return gateway;
  }

  /** Sessions, newest first, once none is active. */
  async ended(): Promise<readonly Session[]> {
    for (;;) {
      const text = await this.#get('/api/sessions');
      const page: SessionPage = JSON.parse(text ?? '{"sessions":[]}');
      if (page.sessions.every(({ state }) => state !== 'active')) return page.sessions;
      await sleep(50);
    }
  }

  async stop(): Promise<void> {
    const metrics = await this.#get('/metrics');
    const { code } = await this.#program.stop(20_000);
    if (code !== 0 || !/^sallyport_internal_errors_total(\{[^}]*\})? 0$/m.test(metrics ?? '')) throw new Error(`${this.#program.label} ended with ${String(code)}\n${this.#program.output()}`);
  }

  async #get(path: string): Promise<string | null> {
    const { code, stdout } = await this.#host.run(['curl', '-sSf', '-m', '10', `${this.#admin}${path}`]);
    return code === 0 ? stdout : null;
  }
}
