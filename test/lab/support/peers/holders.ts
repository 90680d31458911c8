// Many idle registrations with kamailio (peers/sip-holders.ts), held by keep-alives while other things happen.

import { join } from 'node:path';
import type { Program } from '../../../support/program.ts';
import type { Host } from '../host.ts';
import type { Holding, HoldingReport } from '../../peers/sip-holders.ts';
import { address } from '../names.ts';
import { sipAccount } from './kamailio.ts';

/** `user`: the first part of all users' names. */
export type HoldOptions = Pick<Holding, 'caFile' | 'count' | 'user' | 'pingMs' | 'holdMs'>;

export class Holders {
  readonly #program: Program;
  readonly #holdMs: number;

  private constructor(program: Program, holdMs: number) {
    this.#program = program;
    this.#holdMs = holdMs;
  }

  /** Registers on port 443; holds for `holdMs` from when all have, then asks each connection whether it still works. */
  static async start(host: Host, options: HoldOptions): Promise<Holders> {
    const { name, v4 } = address('sip');
    const plan: Holding = { host: v4, port: 443, name, password: sipAccount.password, ...options };
    const command = [process.execPath, join(import.meta.dirname, '../../peers/sip-holders.ts'), JSON.stringify(plan)];
    return new Holders(await host.spawn(`holders-${options.user}`, command, { says: /^holding$/m, readyMs: 60_000 }), options.holdMs);
  }

  /** Waits for their end. */
  async report(): Promise<HoldingReport> {
    const [line] = await this.#program.waitForOutput(/^\{.*\}$/m, this.#holdMs + 60_000);
    const report: HoldingReport = JSON.parse(line);
    return report;
  }

  stop(): Promise<unknown> {
    return this.#program.stop();
  }
}
