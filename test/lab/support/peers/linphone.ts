// linphonec, a SIP phone that refuses bad certificates (mbedTLS), without sound or screen: registers over TLS and says what came of it.
// It prefers IPv6 wherever the name has such an address.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Program } from '../../../support/program.ts';
import type { Host } from '../host.ts';
import type { LabAddress } from '../names.ts';
import { sipAccount } from './kamailio.ts';

export interface LinphoneOptions {
  readonly server: LabAddress;
  readonly port: number;
  /** The only root that it trusts. */
  readonly caFile: string;
  /** Logs to a file of its own in place of standard output, see `log`. */
  readonly logs?: boolean;
}

export type LinphoneOutcome = 'registered' | 'certificate refused' | 'failed';

let count = 0;
const askMs = 100;

export class Linphone {
  readonly #program: Program;
  readonly #logFile: string;

  private constructor(program: Program, logFile: string) {
    this.#program = program;
    this.#logFile = logFile;
  }

  static async start(host: Host, options: LinphoneOptions): Promise<Linphone> {
    count += 1;
    const home = join(host.folder, `linphone-${count}`);
    mkdirSync(join(home, '.local/share/linphone'), { recursive: true });
    const file = join(home, 'linphonerc');
    writeFileSync(file, configuration(options));
    const logFile = join(home, 'log');
    return new Linphone(await host.spawn(`linphonec-${count}`, ['linphonec', ...(options.logs === true ? ['-d', '6', '-l', logFile] : []), '-c', file], { input: true, env: { HOME: home }, cwd: home }), logFile);
  }

  /** What it logs, all SIP messages included; only with `logs`. */
  log(): string {
    return readFileSync(this.#logFile, 'utf8');
  }

  /** How the registration went, within `waitMs`; throws with its output when it says nothing. */
  async outcome(waitMs = 15_000): Promise<LinphoneOutcome> {
    let outcome: LinphoneOutcome | null = null;
    let askedAt = 0;
    await this.#program.waitUntil(() => {
      if (Date.now() - askedAt > askMs) {
        this.#program.write('status register\n');
        askedAt = Date.now();
      }
      const output = this.#program.output();
      if (/registered, identity=/.test(output)) outcome = 'registered';
      else if (output.includes('Certificate verification failed')) outcome = 'certificate refused';
      else if (/registration (?:failed|error)/i.test(output)) outcome = 'failed';
      return outcome !== null;
    }, 'tell how its registration went', waitMs);
    return outcome ?? 'failed';
  }

  /** Types a command and waits until it has answered with the pattern. */
  async ask(command: string, pattern: RegExp): Promise<void> {
    const from = this.#program.output().length;
    this.#program.write(`${command}\n`);
    await this.#program.waitUntil(() => pattern.test(this.#program.output().slice(from)), `answer ${command} with ${pattern.source}`, 15_000);
  }

  /** Unregisters and ends it, as a user would. */
  async quit(): Promise<void> {
    this.#program.write('quit\n');
    await this.#program.waitUntil(() => !this.#program.running, 'quit').catch(() => this.#program.stop());
  }
}

function configuration({ server, port, caFile }: LinphoneOptions): string {
  return `[sip]
sip_port=-1
sip_tcp_port=-1
sip_tls_port=-1
default_proxy=0
root_ca=${caFile}
verify_server_certs=1
verify_server_cn=1
register_only_when_network_is_up=0

[net]
dns_srv_enabled=0

[auth_info_0]
username=${sipAccount.user}
passwd=${sipAccount.password}
realm=${server.name}
domain=${server.name}

[proxy_0]
reg_proxy=<sip:${server.name}:${port};transport=tls>
reg_identity=<sip:${sipAccount.user}@${server.name}>
reg_expires=600
reg_sendregister=1
publish=0
`;
}
