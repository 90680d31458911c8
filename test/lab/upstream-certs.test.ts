// The matrix of upstream certificates (FACTS-certs.md, part 7): every row under every action that its class allows, with curl and openssl as
// clients; then SIP clients, to whom no page can be shown.

import { X509Certificate } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Session } from '../../src/core/session.ts';
import { problemCodes } from '../../src/tls/verify.ts';
import { makeRoot } from '../support/certs.ts';
import type { RunResult } from '../support/program.ts';
import type { TalkResult } from './peers/talk.ts';
import { labConfig, type ConfigChanges } from './support/config.ts';
import { address, type ServerName } from './support/names.ts';
import { startNginx } from './support/peers/nginx.ts';
import { startRequiringServers } from './support/peers/openssl.ts';
import { talk } from './support/peers/small.ts';
import { curl as curlTo, type CurlResult } from './support/peers/web.ts';
import { gatewayFor, labFile } from './support/suite.ts';
import { actions, caseAddress, caseName, handshakeCases, makeCases, placeOf, startCases, type UpstreamCase } from './support/upstream-cases.ts';

const root = makeRoot('Lab matrix root', { key: 'rsa' });
const cases = makeCases(root);
const bad = cases.filter(({ problems }) => problems.length > 0);
const allowed = bad.filter(({ problems }) => !problems.includes('invalid'));
const forbidden = bad.filter(({ problems }) => problems.includes('invalid'));
const acceptable = ['expired', 'not-yet-valid', 'self-signed', 'untrusted', 'incomplete', 'name', 'revoked', 'revocation-unknown', 'weak'] as const;
const byName = (list: readonly UpstreamCase[]): [string, UpstreamCase][] => list.map((one) => [one.name, one]);
const codeOf = ({ problems: [first] }: UpstreamCase): string => problemCodes[first ?? 'invalid'];
const addressOf = (name: string): string => caseAddress(placeOf(cases, name));

const matrix: Pick<ConfigChanges, 'policy'> = {
  policy: {
    ssl: [
      { name: 'hard-lenient', when: { sni: 'tunnel-revocation-hard.*' }, then: 'intercept', tunnelOnError: true, revocation: 'hard' },
      { name: 'hard', when: { sni: '*-revocation-hard.certs.test' }, then: 'intercept', tunnelOnError: false, revocation: 'hard' },
      { name: 'silent', when: { sni: 'silent-*' }, then: 'intercept', handoff: false, tunnelOnError: false },
      { name: 'lenient', when: { sni: 'tunnel-*' }, then: 'intercept', tunnelOnError: true },
      { name: 'strict', then: 'intercept', tunnelOnError: false },
    ],
    certificate: [
      { name: 'mirrored', when: { sni: 'mirror-*', problem: [...acceptable] }, then: 'mirror-untrusted' },
      { name: 'accepted', when: { sni: 'accept-*', problem: [...acceptable] }, then: 'accept' },
      { name: 'tunnelled', when: { sni: 'tunnel-*' }, then: 'tunnel' },
    ],
  },
};

labFile('upstream certificates', async ({ lab, certificates }) => {
  await startCases(lab.server, root, cases);
  await startNginx(lab.server, certificates);
  await startRequiringServers(lab.server, certificates);
}, (file) => {
  describe('the matrix', () => {
    const rootFile = (): string => {
      const name = join(file.lab.gateway.folder, 'matrix-root.pem');
      writeFileSync(name, root.certPem);
      return name;
    };
    const at = gatewayFor(file, {
      mode: 'redirect',
      whole: (certificates, state) => ({ ...labConfig(certificates, state, { mode: 'redirect', tunnelOnError: false, ...matrix }), upstream: { extraCa: [rootFile()], revocation: 'soft' } }),
    });
    const curl = (action: string, name: string, more: readonly string[] = []): Promise<RunResult> => file.lab.client.run([
      'curl', '-sS', '-m', '20', '--http1.1', '--cacert', at.gateway.caFile, '--capath', '/nonexistent', '--resolve', `${caseName(action, name)}:443:${addressOf(name)}`,
      '-w', '\nstatus %{http_code}', ...more, `https://${caseName(action, name)}/`,
    ]);
    const during = async (work: () => Promise<RunResult>): Promise<{ result: RunResult; session: Session | undefined }> => {
      const { result, sessions } = await at.gateway.during(work);
      return { result, session: sessions[0] };
    };
    /** What openssl sees: its verdict on the chain, and the leaf. */
    const opensslSees = async (action: string, name: string, port = 443): Promise<{ verdict: string; leaf: X509Certificate | null }> => {
      const { stdout } = await file.lab.client.run([
        'openssl', 's_client', '-connect', `${addressOf(name)}:${String(port)}`, '-servername', caseName(action, name), '-CAfile', at.gateway.caFile, '-verify_hostname', caseName(action, name),
      ], { input: 'Q\n' });
      const pem = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/.exec(stdout)?.[0];
      return { verdict: /Verify return code: (\d+)/.exec(stdout)?.[1] ?? 'none', leaf: pem === undefined ? null : new X509Certificate(pem) };
    };

    describe('what must work', () => {
      it.each(byName(cases.filter(({ problems }) => problems.length === 0)))('%s', async (name) => {
        const { result, session } = await during(() => curl('deny', name));
        expect([result.code, result.stderr]).toEqual([0, '']);
        expect(result.stdout).toContain(`hello from ${name}`);
        expect(session).toMatchObject({ action: 'intercept', protocol: 'https', error: null, tls: { upstream: { name: 'verified', problems: [] }, leaf: { mirrored: true } } });
      });
    });

    describe('deny: a page under the trusted issuer names the code', () => {
      it.each(byName(bad))('%s', async (name, one) => {
        const { result, session } = await during(() => curl('deny', name));
        expect([result.code, result.stderr]).toEqual([0, '']);
        expect(result.stdout).toContain(codeOf(one));
        expect(result.stdout).toContain('status 502');
        expect(session).toMatchObject({ action: 'deny', rule: 'certificate/default', error: codeOf(one), state: 'errored', tunnelledOnError: null, tls: { upstream: { problems: one.problems } } });
      });
    });

    describe('mirror-untrusted: the defect stays visible, and nothing passes who looks', () => {
      it.each(byName(allowed))('%s', async (name, one) => {
        const { result, session } = await during(() => curl('mirror', name));
        expect(result.code).toBe(60);
        expect(session).toMatchObject({ error: 'CLIENT_REJECTED_CERT', rule: 'certificate/mirrored', tls: { upstream: { problems: one.problems }, leaf: { mirrored: true } } });
        const careless = await during(() => curl('mirror', name, ['-k']));
        expect(careless.result.stdout).toContain(`hello from ${name}`);
        expect(careless.session).toMatchObject({ action: 'intercept', error: null });
        const { verdict, leaf } = await opensslSees('mirror', name);
        expect(['18', '19', '20', '21', '62', '10', '9']).toContain(verdict);
        const original = new X509Certificate(one.cert.der);
        expect(leaf?.subjectAltName).toBe(original.subjectAltName);
        expect(leaf?.subject).toBe(original.subject);
        expect(leaf?.issuer).not.toBe(original.issuer);
        if (original.validToDate.getTime() < Date.now()) expect(leaf?.validTo).toBe(original.validTo);
        if (original.validFromDate.getTime() > Date.now()) expect(leaf?.validFrom).toBe(original.validFrom);
      });

      it.each(byName(forbidden))('%s may not be mirrored: denied', async (name, one) => {
        const { result, session } = await during(() => curl('mirror', name));
        expect(result.stdout).toContain(codeOf(one));
        expect(session).toMatchObject({ action: 'deny', rule: 'certificate/default', error: 'UPSTREAM_CERT_INVALID' });
      });
    });

    describe('accept: as if it were good, but for names, which are never added', () => {
      // Such names cannot be in a certificate of ours: the flow ends before the client is answered.
      const unmintable = new Set(['nul-in-name', 'comma-injection']);
      it.each(byName(allowed.filter(({ name }) => !unmintable.has(name))))('%s', async (name, one) => {
        const { result, session } = await during(() => curl('accept', name));
        const visible = one.problems.includes('name');
        expect(result.code).toBe(visible ? 60 : 0);
        if (!visible) expect(result.stdout).toContain(`hello from ${name}`);
        // curl compares names after the handshake, and leaves.
        expect(session).toMatchObject({ rule: 'certificate/accepted', error: visible ? 'CLIENT_LEFT_SILENTLY' : null, tls: { upstream: { problems: one.problems } } });
      });

      it.each(byName(allowed.filter(({ name }) => unmintable.has(name))))('%s cannot be made', async (name) => {
        const { result, session } = await during(() => curl('accept', name));
        expect(result.code).toBe(35);
        expect(session).toMatchObject({ error: 'MINT_FAILED', state: 'errored' });
      });

      it.each(byName(forbidden))('%s may not be accepted: denied', async (name, one) => {
        const { result, session } = await during(() => curl('accept', name));
        expect(result.stdout).toContain(codeOf(one));
        expect(session).toMatchObject({ action: 'deny', error: 'UPSTREAM_CERT_INVALID' });
      });
    });

    describe('tunnel: the client sees the server\'s own certificate', () => {
      it.each(byName(bad))('%s', async (name, one) => {
        const { result: seen, sessions } = await at.gateway.during(() => opensslSees('tunnel', name));
        expect(seen.leaf?.fingerprint256).toBe(new X509Certificate(one.cert.der).fingerprint256);
        expect(sessions).toMatchObject([{ action: 'tunnel', protocol: 'tls', rule: 'certificate/tunnelled', error: null, tunnelledOnError: null, tls: { client: null, leaf: null } }]);
      });
    });

    describe('servers with whom nothing can be agreed', () => {
      it.each(handshakeCases.map(({ name }) => name))('%s is refused with an alert', async (name) => {
        const { result, session } = await during(() => curl('deny', name));
        expect(result.code).toBe(35);
        expect(session).toMatchObject({ error: 'UPSTREAM_TLS_ALERT', state: 'errored', tls: { leaf: null } });
      });

      it.each(handshakeCases.flatMap(({ name, gnutls }): [string, string][] => (gnutls === undefined ? [] : [[name, gnutls]])))('%s is tunnelled where errors are, for a GnuTLS client that offers it', async (name, gnutls) => {
        const command = ['gnutls-cli', '--insecure', '--priority', `${gnutls}:+VERS-TLS1.2`, '--sni-hostname', caseName('tunnel', name), '-p', '443', addressOf(name)];
        const { result, sessions } = await at.gateway.during(() => file.lab.client.run(command, { input: '\n' }));
        expect(result.stdout).toContain('Handshake was completed');
        expect(sessions).toMatchObject([{ action: 'tunnel', error: null }]);
      });

      it('ten thousand short names: the leaf names the one that was asked for', async () => {
        const { leaf } = await opensslSees('deny', 'names-10000');
        expect(leaf?.subjectAltName).toBe(`DNS:${caseName('deny', 'names-10000')}`);
      });

      it.each(['tls10', 'tls11'])('%s is tunnelled where errors are, and a client that can speaks with it', async (name) => {
        const { result, session } = await during(() => curl('tunnel', name, ['-k', '--tls-max', name === 'tls10' ? '1.0' : '1.1', '--tlsv1.0', '--ciphers', 'DEFAULT:@SECLEVEL=0']));
        // A hello below clientTls.minVersion never reaches the server's side: NO_COMMON_TLS before any dial.
        expect(result.stdout).toContain(`hello from ${name}`);
        expect(session).toMatchObject({ action: 'tunnel', tunnelledOnError: 'NO_COMMON_TLS' });
        const modern = await during(() => curl('tunnel', name, ['-k', '--tlsv1.0', '--ciphers', 'DEFAULT:@SECLEVEL=0']));
        expect(modern.result.stdout).toContain(`hello from ${name}`);
        expect(modern.session).toMatchObject({ action: 'tunnel', tunnelledOnError: 'UPSTREAM_TLS_ALERT' });
      });
    });

    describe('SIP, where no page can be shown', () => {
      const options = (name: string): string => [
        `OPTIONS sip:${name} SIP/2.0`, `Via: SIP/2.0/TLS 10.77.1.2;branch=z9hG4bK1`, 'From: <sip:a@certs.test>;tag=1', `To: <sip:${name}>`, 'Call-ID: 1@certs.test', 'CSeq: 1 OPTIONS', 'Max-Forwards: 70', 'Content-Length: 0', '', '',
      ].join('\r\n');
      const ask = (action: string, name: string): Promise<TalkResult> => talk(file.lab.client, {
        host: addressOf(name), port: 5061, tls: { caFile: at.gateway.caFile, name: caseName(action, name) }, say: [{ text: options(caseName(action, name)) }], untilBytes: 40, timeoutMs: 8_000,
      });
      it('a good one passes', async () => {
        const { result, sessions } = await at.gateway.during(() => ask('deny', 'good'));
        expect(result.receivedText).toMatch(/^SIP\/2\.0 200 /);
        expect(sessions).toMatchObject([{ protocol: 'sips', action: 'intercept', error: null }]);
      });

      it.each(byName(bad))('%s, denied: a SIP answer names the code', async (name, one) => {
        const { result, sessions } = await at.gateway.during(() => ask('deny', name));
        expect(result.secured).toBe(true);
        expect(result.receivedText).toMatch(/^SIP\/2\.0 [45]\d\d /);
        expect(result.receivedText).toContain(codeOf(one));
        expect(sessions).toMatchObject([{ action: 'deny', error: codeOf(one) }]);
      });

      it.each(byName(allowed))('%s, mirrored: a SIP client that looks refuses', async (name) => {
        const { result, sessions } = await at.gateway.during(() => ask('mirror', name));
        expect([result.secured, result.receivedText]).toEqual([false, '']);
        // Node judges after the handshake, and leaves.
        expect(sessions).toMatchObject([{ error: 'CLIENT_LEFT_SILENTLY', rule: 'certificate/mirrored' }]);
      });

      it.each(byName(allowed.filter(({ problems }) => !problems.includes('name'))))('%s, accepted', async (name) => {
        const { result, sessions } = await at.gateway.during(() => ask('accept', name));
        expect(result.receivedText).toMatch(/^SIP\/2\.0 200 /);
        expect(sessions).toMatchObject([{ protocol: 'sips', action: 'intercept', error: null, rule: 'certificate/accepted' }]);
      });

      it.each(byName(bad))('%s, tunnelled: the client sees the server\'s own', async (name, one) => {
        const { result, sessions } = await at.gateway.during(() => opensslSees('tunnel', name, 5061));
        expect(result.leaf?.fingerprint256).toBe(new X509Certificate(one.cert.der).fingerprint256);
        expect(sessions).toMatchObject([{ action: 'tunnel', error: null }]);
      });

      it('without handoff there is not even SIP to say it in: an alert', async () => {
        const { result, sessions } = await at.gateway.during(() => ask('silent', 'expired'));
        expect([result.secured, result.receivedText]).toEqual([false, '']);
        expect(result.errorCode).toMatch(/ALERT/);
        expect(sessions).toMatchObject([{ error: 'UPSTREAM_CERT_EXPIRED', state: 'errored' }]);
      });
    });

    it('TURN, denied: an error response names the code', async () => {
      // Allocate for UDP, transaction 1 to 12.
      const allocate = '000300082112a4420102030405060708090a0b0c0019000411000000';
      const { result, sessions } = await at.gateway.during(() => talk(file.lab.client, {
        host: addressOf('expired'), port: 443, tls: { caFile: at.gateway.caFile, name: caseName('deny', 'expired') }, say: [{ hex: allocate }], untilBytes: 40, timeoutMs: 8_000,
      }));
      expect(result.receivedText).toMatch(/^\x01\x13/);
      expect(result.receivedText).toContain('UPSTREAM_CERT_EXPIRED');
      expect(sessions).toMatchObject([{ action: 'deny', error: 'UPSTREAM_CERT_EXPIRED' }]);
    });

    it('names of all actions are those of the rules', () => {
      expect(actions.every((action) => cases.some(({ cert }) => new X509Certificate(cert.der).subjectAltName?.includes(`${action}-`) === true))).toBe(true);
    });
  });

  describe('client certificates of the gateway (upstream.clientCerts)', () => {
    const asUser = gatewayFor(file, {
      mode: 'redirect',
      whole: (certificates, state) => ({
        ...labConfig(certificates, state, { mode: 'redirect', tunnelOnError: true }),
        upstream: { extraCa: [certificates.rootFile], clientCerts: [{ host: ['required-*.lab.test', 'optional-tls12.lab.test', address('required-tls13').v4], cert: certificates.user.certFile, key: certificates.user.keyFile }] },
      }),
    });
    const visit = (server: ServerName, path: string): Promise<{ result: CurlResult; sessions: Session[] }> =>
      asUser.gateway.during(() => curlTo(file.lab.client, { server, path, caFile: asUser.gateway.caFile, more: ['-4'] }));

    it.each(['required-tls12', 'required-tls13'] as const)('%s: shown where it is required, and the flow is intercepted', async (server) => {
      const { result, sessions } = await visit(server, '/');
      expect([result.code, result.facts.status, result.stderr]).toEqual([0, 200, '']);
      expect(result.stdout).toContain('alice');
      expect(sessions).toMatchObject([{ action: 'intercept', protocol: 'https', error: null, tunnelledOnError: null, tls: { leaf: { mirrored: true } } }]);
    });

    it('shown where it is merely asked for', async () => {
      const { result, sessions } = await visit('optional-tls12', '/who');
      expect([result.code, result.stdout]).toEqual([0, 'client SUCCESS CN=alice\n']);
      expect(sessions).toMatchObject([{ action: 'intercept', error: null }]);
    });

    it('not shown to a server that is not named, though it asks', async () => {
      const { result } = await visit('optional-tls13', '/who');
      expect([result.code, result.stdout]).toEqual([0, 'client NONE \n']);
    });

    it('shown by address where the client names nobody', async () => {
      const command = ['openssl', 's_client', '-connect', `${address('required-tls13').v4}:443`, '-noservername', '-CAfile', asUser.gateway.caFile, '-verify_return_error', '-ign_eof'];
      const { result, sessions } = await asUser.gateway.during(() => file.lab.client.run(command, { input: 'GET / HTTP/1.0\r\n\r\n', holdInput: true }));
      expect(result.stdout).toMatch(/Subject: CN ?= ?alice/);
      expect(sessions).toMatchObject([{ sni: null, action: 'intercept', error: null }]);
    });
  });
});
