// Config and policy joined: services as policy sees them, warnings in order, list faults that make a config unusable.

import { describe, expect, it } from 'vitest';
import { readyConfig } from '../../../src/commands/policy.ts';
import { loadConfig } from '../../../src/config/load.ts';
import { sessionWith } from '../policy/support.ts';

const ready = (text: string): ReturnType<typeof readyConfig> => readyConfig(loadConfig(text, 'x.yaml'), 'x.yaml');

describe('readyConfig', () => {
  it('settings of services and defaults reach the verdicts', () => {
    const one = ready(`
tunnelOnError: [MINT_FAILED]
services:
  - { name: https, type: ssl, listen: "[::]:1", tunnelOnError: [NOT_TLS], clientTls: { minVersion: TLSv1 }, detectProtocol: [https] }
  - { name: other, type: ssl, listen: "[::]:2" }
policy: { ssl: [{ then: intercept }] }
`);
    if (!one.ok) throw new Error('broken');
    const first = one.policy.ssl(sessionWith({ service: 'https' }));
    expect([[...first.tunnelOnError], first.clientMinVersion, first.detect.off.has('sips')]).toEqual([['NOT_TLS'], 'TLSv1', true]);
    const second = one.policy.ssl(sessionWith({ service: 'other' }));
    expect([[...second.tunnelOnError], second.clientMinVersion, second.detect.off.size]).toEqual([['MINT_FAILED'], 'TLSv1.2', 0]);
  });
  it('warnings come in the order of lines', () => {
    const one = ready('services:\n  - { name: p, type: socks, listen: 0.0.0.0:1, detectProtocol: false }\npolicy:\n  ssl:\n    - { then: intercept, tunnelOnError: true }\n    - { then: deny }\n');
    const lines = one.ok ? one.warnings.map(({ line }) => line) : [];
    expect(lines.length).toBeGreaterThan(5);
    expect(lines).toEqual([...lines].sort((a, b) => a - b));
  });
  it('faults of the config or of lists make it unusable', () => {
    expect(ready('nonsense: 1').ok).toBe(false);
    expect(ready('services: [{ name: a, type: ssl, listen: "[::]:1" }]\npolicy: { ssl: [{ when: { file: gone.txt }, then: tunnel }] }')).toMatchObject({ ok: false, faults: [{ line: 2, path: 'policy.ssl[0].when.file' }] });
  });
});
