// `sallyport ca revoke` on a running gateway of two workers, and its CRL across a restart: what operators do, seen by OpenSSL.

import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { Gateway } from './support/gateway.ts';
import { address, network } from './support/names.ts';
import { startNginx } from './support/peers/nginx.ts';
import { repository, sallyport } from './support/rules.ts';
import { gatewayFor, labFile, type LabFile } from './support/suite.ts';

const { name } = address('tls13');
const crlUrl = `http://${network.gatewayToClient.v4}:9080/ssl/crl/issuer_CA.crl`;
/** The kernel spreads connections over the workers; after so many both have had some. */
const connections = 24;
/** limits.stateCheckMs. */
const lookMs = 1_000;

labFile('acceptance-revoke', async ({ lab, certificates }) => {
  await startNginx(lab.server, certificates);
}, (file) => {
  describe('two workers', () => {
    const at = gatewayFor(file, { mode: 'redirect', workers: 2 });

    it('ca revoke evicts in both, lists what they showed, and both mint anew', async () => {
      const before = await shown(at.gateway);
      expect(new Set(before.values())).toEqual(new Set(['w1', 'w2']));
      const revoked = await revoke(file, at.gateway, []);
      expect(new Set(revoked)).toEqual(new Set(before.keys()));
      expect((await crl(file)).serials).toEqual(new Set(revoked));
      // Each worker looks at the ledger on its own.
      await at.gateway.program.waitUntil(async () => {
        const after = await shown(at.gateway);
        return new Set(after.values()).size === 2 && !revoked.some((serial) => after.has(serial));
      }, 'mint anew in both workers', 20_000);
    });

    it('--keep goes on showing what is listed, in both', async () => {
      const before = await shown(at.gateway);
      const revoked = await revoke(file, at.gateway, ['--keep']);
      for (const serial of before.keys()) expect(revoked).toContain(serial);
      // Time in which each worker looks at the ledger and could evict.
      await sleep(2 * lookMs);
      expect(new Set((await shown(at.gateway)).keys())).toEqual(new Set(before.keys()));
    });
  });

  it('the CRL survives a restart: the same serials under a higher number', async () => {
    const first = await Gateway.start(file.lab, file.certificates, { mode: 'redirect' });
    await shown(first, 1);
    await revoke(file, first, []);
    const before = await crl(file);
    expect(before.serials.size).toBe(1);
    await first.stop();
    const again = await file.lab.gateway.spawn('gateway-again', [...sallyport, 'run', '-c', first.configFile], { cwd: repository, says: /Sallyport is up/, readyMs: 30_000 });
    try {
      const after = await crl(file);
      expect(after.serials).toEqual(before.serials);
      expect(after.number).toBeGreaterThan(before.number);
      expect(after.verified).toContain('verify OK');
    } finally {
      expect((await again.stop(20_000)).code).toBe(0);
    }
  });

  /** Serials that the gateway shows on some connections, each with the worker that showed it. */
  async function shown(gateway: Gateway, count = connections): Promise<Map<string, string>> {
    const connect = ['openssl', 's_client', '-connect', `${name}:443`, '-servername', name, '-CAfile', gateway.caFile, '-verify_return_error'];
    const { sessions } = await gateway.during(() => Promise.all(Array.from({ length: count }, () => file.lab.client.run(connect, { input: 'Q\n' }))), { count });
    return new Map(sessions.flatMap(({ id, tls }) => (tls?.leaf ? [[tls.leaf.serial, id.split('-')[0] ?? ''] as const] : [])));
  }
});

/** Revokes the site's certificates and waits until the list says so; answers the serials. */
async function revoke({ lab }: LabFile, { configFile, program }: Gateway, more: readonly string[]): Promise<string[]> {
  const said = await lab.gateway.mustRun([...sallyport, 'ca', 'revoke', name, ...more, '-c', configFile]);
  const serials = [...said.matchAll(/^revoked ([0-9a-f]+)$/gm)].map(([, serial = '']) => serial);
  await program.waitUntil(async () => {
    const { serials: listed } = await crl({ lab });
    return serials.every((serial) => listed.has(serial));
  }, 'notice the revocation');
  return serials;
}

/** The list as OpenSSL reads it, fetched by the client. */
async function crl({ lab }: Pick<LabFile, 'lab'>): Promise<{ number: number; serials: Set<string>; verified: string }> {
  const der = join(lab.client.folder, 'list.crl');
  const ca = join(lab.client.folder, 'list-ca.pem');
  await lab.client.mustRun(['curl', '-sS', '--fail', '-o', der, crlUrl]);
  await lab.client.mustRun(['curl', '-sS', '--fail', '-o', ca, `http://${network.gatewayToClient.v4}:9080/ca.pem`]);
  const { stdout, stderr } = await lab.client.run(['openssl', 'crl', '-inform', 'DER', '-in', der, '-CAfile', ca, '-noout', '-text']);
  return {
    number: Number(/X509v3 CRL Number:\s+(\d+)/.exec(stdout)?.[1]),
    serials: new Set([...stdout.matchAll(/Serial Number: ([0-9A-F]+)/g)].map(([, serial = '']) => serial.toLowerCase())),
    verified: stderr,
  };
}
