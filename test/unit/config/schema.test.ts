// The schema as the only source: every key described, limits exactly those of core, JSON Schema in agreement with the parser.

import { describe, expect, it } from 'vitest';
import { configJsonSchema, configSchema } from '../../../src/config/schema.ts';
import { errorCodes, tunnelOnErrorAllowed } from '../../../src/core/errors.ts';
import { limitNames, limitTable } from '../../../src/core/limits.ts';
import { protocolNames } from '../../../src/core/protocols.ts';

type Node = Record<string, unknown>;
const isNode = (value: unknown): value is Node => typeof value === 'object' && value !== null && !Array.isArray(value);

/** Every property below a node with its path. */
function properties(node: unknown, path = ''): [string, Node][] {
  if (Array.isArray(node)) return node.flatMap((item) => properties(item, path));
  if (!isNode(node)) return [];
  return Object.entries(node).flatMap(([key, value]): [string, Node][] => {
    if (key !== 'properties' || !isNode(value)) return key === 'default' ? [] : properties(value, path);
    return Object.entries(value).flatMap(([name, child]): [string, Node][] => (isNode(child) ? [[`${path}.${name}`, child], ...properties(child, `${path}.${name}`)] : []));
  });
}

const services = [{ name: 'a', type: 'ssl', listen: '[::]:1' }];

describe('the schema', () => {
  it('describes every key', () => {
    const all = properties(configJsonSchema());
    expect(all.length).toBeGreaterThan(200);
    expect(all.filter(([, node]) => typeof node.description !== 'string' || node.description === '').map(([path]) => path)).toEqual([]);
  });
  it('takes no unknown key anywhere', () => {
    const open = properties({ properties: { config: configJsonSchema() } }).filter(([, node]) => node.type === 'object' && node.properties !== undefined && node.additionalProperties !== false);
    expect(open.map(([path]) => path)).toEqual([]);
  });
  it('has a key for every limit, with its bounds, and defaults to the table', () => {
    const config = configSchema.parse({ services });
    expect(Object.keys(config.limits).sort()).toEqual([...limitNames].sort());
    for (const name of limitNames) {
      const { min, max, default: usual } = limitTable[name];
      expect(config.limits[name]).toBe(usual);
      const parses = (value: number): boolean => configSchema.safeParse({ services, limits: { [name]: value } }).success;
      expect([name, parses(min), parses(max), parses(min - 1), parses(max + 1)]).toEqual([name, true, true, false, false]);
    }
  });
  it('lets exactly the codes be listed that core allows', () => {
    for (const code of errorCodes) expect([code, configSchema.safeParse({ services, tunnelOnError: [code] }).success]).toEqual([code, tunnelOnErrorAllowed.includes(code)]);
  });
  it('knows every protocol name in rules', () => {
    for (const protocol of protocolNames) expect(configSchema.safeParse({ services, policy: { protocol: [{ when: { protocol }, then: 'deny' }] } }).success).toBe(true);
    expect(configSchema.safeParse({ services: [{ ...services[0], detectProtocol: ['unknown'] }] }).success).toBe(false);
  });
  it('shares repeated parts in the stored JSON Schema', () => {
    expect(JSON.stringify(configJsonSchema('ref')).length).toBeLessThan(JSON.stringify(configJsonSchema()).length);
  });
});
