// The emulated site against real clients that check revocation: accepted as it is, refused after `ca revoke --keep`, and refused by the hard
// ones when CRL and OCSP cannot be reached.

import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openSite, run } from './certs-bench.ts';
import type { IssuerKind, Site } from './certs-bench.ts';
import type { LeafKeyType } from '../../src/core/certificates.ts';

interface Outcome {
  readonly ok: boolean;
  readonly text: string;
}

const javaClient = join(import.meta.dirname, 'certs-client.java');

/** Clients that look for revocation data themselves. */
const clients: Readonly<Record<string, (site: Site) => Promise<Outcome>>> = {
  async 'openssl s_client -crl_check -crl_download'(site) {
    const { text } = await run('openssl', ['s_client', '-connect', `127.0.0.1:${site.port}`, '-servername', 'a.example', '-verify_hostname', 'a.example', '-CAfile', site.rootFile,
      '-crl_check', '-crl_download', '-x509_strict', '-verify_return_error'], { input: '\n' });
    // The exit code tells how the connection ended, too; -verify_return_error ends it before the peer name is shown.
    return { ok: /Verified peername: a\.example[^]*Verify return code: 0 \(ok\)/.test(text), text };
  },
  async 'gnutls-cli --ocsp'(site) {
    const { code, text } = await run('gnutls-cli', ['--ocsp', '--x509cafile', site.rootFile, '--verify-hostname', 'a.example', '--sni-hostname', 'a.example', '-p', String(site.port), '127.0.0.1'], { input: '\n' });
    return { ok: code === 0 && /OCSP Response|The certificate is trusted/.test(text) && !/revoked/i.test(text), text };
  },
  async 'java, revocation by OCSP'(site) {
    const { code, text } = await run('java', ['-Dcom.sun.security.enableCRLDP=false', '-Docsp.enable=true', javaClient, site.rootFile, String(site.port), 'ocsp']);
    return { ok: code === 0, text };
  },
  async 'java, revocation by CRL'(site) {
    const { code, text } = await run('java', ['-Dcom.sun.security.enableCRLDP=true', javaClient, site.rootFile, String(site.port), 'crl']);
    return { ok: code === 0, text };
  },
};
const names = Object.keys(clients);

async function outcome(client: string, site: Site): Promise<Outcome> {
  return (await clients[client]?.(site)) ?? { ok: false, text: 'no such client' };
}

describe.each<[IssuerKind, LeafKeyType]>([['rsa root', 'ec'], ['ec root', 'rsa'], ['rsa intermediate', 'rsa'], ['ec intermediate', 'ec']])('issuer: %s, leaf: %s', (kind, leafKey) => {
  let site: Site;
  beforeAll(async () => {
    site = await openSite(kind, leafKey);
  });
  afterAll(() => site.close());

  // The root above an intermediate offers a CRL and no OCSP, so that Java's OCSP-only mode cannot know the intermediate.
  it.each(names.filter((client) => !(client.endsWith('by OCSP') && kind.endsWith('intermediate'))))('%s accepts', async (client) => {
    const { ok, text } = await outcome(client, site);
    expect(ok, text).toBe(true);
  });

  it('openssl s_client -status sees a good staple', async () => {
    const { text } = await run('openssl', ['s_client', '-connect', `127.0.0.1:${site.port}`, '-servername', 'a.example', '-CAfile', site.rootFile, '-status'], { input: '\n' });
    expect(text).toMatch(/OCSP Response Status: successful/);
    expect(text).toMatch(/Cert Status: good/);
    expect(text).toMatch(/Responder Id: (?!byKey)/);
  });

  it('python ssl with VERIFY_X509_STRICT, the CRL and the host name accepts', async () => {
    expect(await python(site)).toMatchObject({ ok: true });
  });
});

describe.each<LeafKeyType>(['ec', 'rsa'])('after ca revoke --keep, leaf: %s', (leafKey) => {
  let site: Site;
  beforeAll(async () => {
    site = await openSite('rsa root', leafKey);
    expect(await site.certificates.revoke({ target: 'a.example', keep: true, reason: 1 })).toEqual([site.leaf.serial]);
  });
  afterAll(() => site.close());

  it.each(names)('%s refuses', async (client) => {
    const { ok, text } = await outcome(client, site);
    expect(ok, text).toBe(false);
    expect(text).toMatch(/revoked/i);
  });

  it('openssl s_client -status sees a staple that says so', async () => {
    const { text } = await run('openssl', ['s_client', '-connect', `127.0.0.1:${site.port}`, '-servername', 'a.example', '-CAfile', site.rootFile, '-status'], { input: '\n' });
    expect(text).toMatch(/Cert Status: revoked/);
    expect(text).toMatch(/keyCompromise/);
  });

  it('python refuses', async () => {
    const { ok, text } = await python(site);
    expect(ok).toBe(false);
    expect(text).toMatch(/certificate revoked/);
  });
});

describe('without CRL and OCSP', () => {
  // OpenSSL 3.0 tries a refused connection again without end, so it is shown an answer that is none; the others see both.
  it.each<[string, 'stopRevocation' | 'breakRevocation']>([
    ...names.filter((client) => !client.startsWith('gnutls')).map((client): [string, 'breakRevocation'] => [client, 'breakRevocation']),
    ...names.filter((client) => client.startsWith('java')).map((client): [string, 'stopRevocation'] => [client, 'stopRevocation']),
  ])('%s refuses after %s', async (client, fault) => {
    const site = await openSite('rsa root', 'ec', false);
    try {
      await site[fault]();
      const { ok, text } = await outcome(client, site);
      expect(ok, text).toBe(false);
      expect(text).toMatch(/unable to get certificate CRL|Unable to determine revocation status|Connection refused|ConnectException|OCSP/i);
    } finally {
      await site.close();
    }
  });

  it('a staple alone satisfies Java, so the handshake does not wait for an unreachable responder', async () => {
    const site = await openSite('rsa root', 'ec');
    try {
      await site.stopRevocation();
      const { ok, text } = await outcome('java, revocation by OCSP', site);
      expect(ok, text).toBe(true);
    } finally {
      await site.close();
    }
  });
});

const script = `
import socket, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[1])
context.load_verify_locations(sys.argv[2])
context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_CRL_CHECK_LEAF
with socket.create_connection(("127.0.0.1", int(sys.argv[3]))) as raw, context.wrap_socket(raw, server_hostname="a.example") as connection:
    print(connection.version(), connection.getpeercert()["subject"])
`;

async function python(site: Site): Promise<Outcome> {
  const crl = join(site.folder, 'fetched.crl');
  const { revocation, issuerInfo } = site.certificates;
  const der = revocation.answer('GET', `/ssl/crl/${issuerInfo().keyId}.crl`, null).body;
  const { writeFile } = await import('node:fs/promises');
  await writeFile(crl, `-----BEGIN X509 CRL-----\n${der.toString('base64').replace(/(.{64})/g, '$1\n')}\n-----END X509 CRL-----\n`);
  const { code, text } = await run('python3', ['-c', script, site.rootFile, crl, String(site.port)]);
  return { ok: code === 0, text };
}
