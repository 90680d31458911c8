// Judges names that point at each other: services named twice, rules that name services or issuers there are none of, two
// listeners on one address. It reads the raw document, so that it can speak even when other parts are broken.

import { policyStages } from '../core/verdicts.ts';
import { valueAt } from './faults.ts';
import type { Path, SchemaFault } from './faults.ts';

/** All faults of names in a document, whatever else may be wrong with it. */
export function nameFaults(raw: unknown): SchemaFault[] {
  const services = list(valueAt(raw, ['services']));
  const serviceNames = services.map((service) => valueAt(service, ['name']));
  const issuers = valueAt(raw, ['issuers']);
  const issuerNames = typeof issuers === 'object' && issuers !== null ? Object.keys(issuers) : [];
  return [
    ...repeated(serviceNames.map((name, index) => ({ at: ['services', index, 'name'], value: name })), 'two services have this name'),
    ...repeated(listeners(raw), 'two listeners have this address'),
    ...policyStages.flatMap((stage) => stageFaults(raw, stage, serviceNames, issuerNames)),
  ];
}

interface Placed {
  readonly at: Path;
  readonly value: unknown;
}

function stageFaults(raw: unknown, stage: string, serviceNames: readonly unknown[], issuerNames: readonly string[]): SchemaFault[] {
  const rules = list(valueAt(raw, ['policy', stage]));
  const names = rules.map((rule, index) => ({ at: ['policy', stage, index, 'name'], value: valueAt(rule, ['name']) }));
  const faults = repeated(names, `two rules of the ${stage} stage have this name`);
  for (const [index, rule] of rules.entries()) {
    const at: Path = ['policy', stage, index];
    for (const where of [['when', 'service'], ['when', 'not', 'service']]) {
      for (const name of list(valueAt(rule, where))) {
        if (typeof name !== 'string' || serviceNames.includes(name)) continue;
        faults.push({ at: [...at, ...where], problem: `there is no service named ${JSON.stringify(name)}; services: ${serviceNames.filter((known) => typeof known === 'string').join(', ')}`, onKey: false });
      }
    }
    const issuer = valueAt(rule, ['issuer']);
    if (typeof issuer === 'string' && !issuerNames.includes(issuer)) faults.push({ at: [...at, 'issuer'], problem: `there is no issuer named ${JSON.stringify(issuer)} in issuers`, onKey: false });
  }
  return faults;
}

function listeners(raw: unknown): Placed[] {
  const places: Path[] = [...list(valueAt(raw, ['services'])).map((_, index): Path => ['services', index, 'listen']), ['admin', 'listen'], ['issuer', 'crl', 'listen']];
  return places.map((at) => ({ at, value: valueAt(raw, at) })).filter(({ value }) => typeof value === 'string' && !value.endsWith(':0'));
}

function repeated(places: readonly Placed[], problem: string): SchemaFault[] {
  const seen = new Set<unknown>();
  return places.flatMap(({ at, value }): SchemaFault[] => {
    if (typeof value !== 'string') return [];
    if (seen.has(value)) return [{ at, problem: `${problem}: ${value}`, onKey: false }];
    seen.add(value);
    return [];
  });
}

/** A list as it is, one value as a list of it, nothing as an empty one. */
function list(value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value;
  return value === undefined || value === null ? [] : [value];
}
