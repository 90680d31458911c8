// The example configs load without a warning and decide as their comments say.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readyConfig } from '../../../src/commands/policy.ts';
import type { ReadyConfig } from '../../../src/commands/policy.ts';
import { loadConfig } from '../../../src/config/load.ts';
import { sessionWith } from '../policy/support.ts';

async function example(name: string): Promise<ReadyConfig> {
  const file = join(import.meta.dirname, '..', '..', '..', 'examples', name);
  const ready = readyConfig(loadConfig(await readFile(file, 'utf8'), file), file);
  if (!ready.ok) throw new Error(JSON.stringify(ready.faults));
  return ready;
}

describe('skype-for-business.yaml', () => {
  it('lets the three known protocols through on every service, and nothing else inside TLS', async () => {
    const { policy, config, warnings } = await example('skype-for-business.yaml');
    expect(warnings).toEqual([]);
    expect(config.issuer.crl.enabled && config.issuer.ocsp.enabled).toBe(true);
    for (const { name } of config.services) {
      const session = sessionWith({ service: name });
      expect(policy.ssl(session)).toMatchObject({ action: 'intercept', handoff: true, clientCert: 'tunnel' });
      expect(policy.connection(session).detect.off.size).toBe(0);
      for (const protocol of ['https', 'h2', 'sips', 'ms-turn'] as const) expect(policy.protocol(session, protocol, 'intercepted').action).toBe('handoff');
      for (const protocol of ['unknown', 'undetected', 'turns'] as const) expect(policy.protocol(session, protocol, 'intercepted').action).toBe('deny');
      expect(policy.protocol(session, 'ms-turn', 'none').action).toBe('handoff');
      expect(policy.protocol(session, 'tls', 'tunnelled').action).toBe('relay');
    }
  });
});

describe('bypass.yaml', () => {
  it('leaves closed what it lists', async () => {
    const { policy, warnings } = await example('bypass.yaml');
    const office = { startedAt: new Date(2026, 2, 4, 12).getTime() };
    const rule = (facts: Parameters<typeof sessionWith>[0]): string => policy.ssl(sessionWith({ ...office, ...facts })).rule;
    expect(warnings).toEqual([]);
    expect(rule({ sni: 'www.bank.example' })).toBe('ssl/listed');
    expect(rule({ sni: 'mail.example' })).toBe('ssl/personal');
    expect(rule({ sni: 'clinic.example' })).toBe('ssl/rest');
    expect(rule({ sni: 'x.tracker.example' })).toBe('ssl/blocked');
    expect(rule({ sni: 'x.tracker.example', startedAt: new Date(2026, 2, 4, 23).getTime() })).toBe('ssl/private-hours');
    expect(policy.ssl(sessionWith({ ...office, sni: 'phones.example' })).clientMinVersion).toBe('TLSv1');
    expect(policy.connection(sessionWith({ client: { ip: '2001:db8::5', port: 1 } })).action).toBe('tunnel');
    expect(policy.connection(sessionWith({ destination: { ip: '203.0.113.9', port: 22, host: null } })).serverFirst).toBe(true);
    expect(policy.certificate(sessionWith({ sni: 'device.example' }), ['expired']).action).toBe('accept');
    expect(policy.certificate(sessionWith({ sni: 'device.example' }), ['expired', 'name']).action).toBe('mirror-untrusted');
  });
});
