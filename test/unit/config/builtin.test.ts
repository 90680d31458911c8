// The built-in config is what CONTRACT says it is, and check has nothing to warn of.

import { describe, expect, it } from 'vitest';
import { readyConfig } from '../../../src/commands/policy.ts';
import { builtinConfig, builtinText } from '../../../src/config/builtin.ts';
import { loadConfig } from '../../../src/config/load.ts';

describe('the built-in config', () => {
  it('listens on loopback alone, with the contract\'s ports', () => {
    const config = builtinConfig({ root: false });
    expect(config.services.map(({ type, listen }) => [type, listen])).toEqual([['http-explicit', { host: '127.0.0.1', port: 3128 }], ['socks', { host: '127.0.0.1', port: 1080 }]]);
    expect([config.admin.listen, config.issuer.crl.listen]).toEqual([{ host: '127.0.0.1', port: 9090 }, { host: '127.0.0.1', port: 9080 }]);
  });
  it('keeps its state in ./state, or in /var/lib/sallyport as root', () => {
    expect(builtinConfig({ root: false }).state).toBe(`${process.cwd()}/state`);
    expect(builtinConfig({ root: true }).state).toBe('/var/lib/sallyport');
  });
  it('intercepts everything with handoff and tunnel on error, and denies untrusted upstreams', () => {
    const ready = readyConfig(loadConfig(builtinText({ root: false }), 'built-in.yaml'), 'built-in.yaml');
    if (!ready.ok) throw new Error('broken');
    expect(ready.warnings).toEqual([]);
    expect(ready.policy.stages.ssl.map(({ rule }) => [rule.then, rule.handoff, rule.tunnelOnError])).toEqual([['intercept', true, true]]);
    expect(ready.policy.stages.certificate.map(({ rule }) => rule.then)).toEqual(['deny']);
  });
});
