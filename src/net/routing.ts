// What TPROXY and `source: client` need besides nftables: marked packets are routed to this host whatever their address. One rule and one route for
// each address family, in a table of our own. It reads what `ip -j` prints and answers what to run; apply.ts runs it.

import type { Family, NetPlan } from './plan.ts';

/** Mark, table and preference are one uncommon number, so that other software's rules are not met by chance. */
const routingNumber = 0x5a11;
export const routingMark = `0x${routingNumber.toString(16)}`;
export const routingTable = String(routingNumber);
export const routingPreference = routingNumber;

/** Lines for `ip [-6] -batch -`. */
export interface RoutingStep {
  readonly family: Family;
  readonly lines: readonly string[];
}

const ruleText = `pref ${routingPreference} fwmark ${routingMark} lookup ${routingTable}`;

/** Families that need the rule and the route. */
export function routedFamilies(plan: NetPlan): Family[] {
  return ([4, 6] as const).filter((family) => plan.takings.some((taking) => taking.family === family && (taking.acquire === 'tproxy' || taking.clientSource)));
}

/** How often our rule stands in `ip -j [-6] rule show`. Text that is no such listing counts as none. */
export function ruleCount(json: string): number {
  return entries(json).filter((entry) => entry['priority'] === routingPreference && entry['fwmark'] === routingMark && entry['table'] === routingTable).length;
}

/** Whether `ip -j [-6] route show table N` holds our route. */
export function hasRoute(json: string): boolean {
  return entries(json).some((entry) => entry['type'] === 'local' && entry['dst'] === 'default' && entry['dev'] === 'lo');
}

/** The lines that bring one family from what is there to what is wanted; none when nothing is to be done. */
export function routingLines(wanted: boolean, rules: number, route: boolean): string[] {
  const keep = wanted ? 1 : 0;
  const lines = Array.from({ length: Math.max(0, rules - keep) }, () => `rule del ${ruleText}`);
  if (wanted && !route) lines.push(`route replace local default dev lo table ${routingTable}`);
  if (wanted && rules === 0) lines.push(`rule add ${ruleText}`);
  if (!wanted && route) lines.push(`route del local default dev lo table ${routingTable}`);
  return lines;
}

function entries(json: string): Record<string, unknown>[] {
  let list: unknown;
  try {
    list = JSON.parse(json);
  } catch {
    return [];
  }
  return Array.isArray(list) ? list.filter((entry): entry is Record<string, unknown> => typeof entry === 'object' && entry !== null) : [];
}
