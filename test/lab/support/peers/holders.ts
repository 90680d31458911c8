// Many idle registrations with kamailio (peers/sip-holders.ts), held by keep-alives.

import { join } from 'node:path';
import type { Host } from '../host.ts';
import type { Holding, HoldingReport } from '../../peers/sip-holders.ts';
import { address } from '../names.ts';
import { sipAccount } from './kamailio.ts';

/** Holds `count` registrations on port 443 for `holdMs`, then asks each connection whether it still works. */
export async function holdRegistrations(host: Host, options: Pick<Holding, 'caFile' | 'count' | 'pingMs' | 'holdMs'>): Promise<HoldingReport> {
  const { name, v4 } = address('sip');
  const plan: Holding = { host: v4, port: 443, name, user: sipAccount.user, password: sipAccount.password, ...options };
  const stdout = await host.mustRun([process.execPath, join(import.meta.dirname, '../../peers/sip-holders.ts'), JSON.stringify(plan)], { timeoutMs: options.holdMs + 60_000 });
  const report: HoldingReport = JSON.parse(stdout);
  return report;
}
