// Upstream revocation against real responders: openssl's OCSP responder, its CRLs over plain http, nginx stapling what openssl signed. Off, soft and
// hard by rule; what is slow holds nobody up for long; what is known is not asked again.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { Session } from '../../src/core/session.ts';
import { issueServer, makeIntermediate, makeRoot, type TestCert } from '../support/certs.ts';
import type { Program, RunResult } from '../support/program.ts';
import type { CertServer } from './peers/cert-server.ts';
import { labConfig } from './support/config.ts';
import type { Host } from './support/host.ts';
import { gatewayFor, labFile } from './support/suite.ts';

const modes = ['off', 'soft', 'hard'] as const;
const hosts = { files: '10.77.2.90', ocsp: '10.77.2.91', silent: '10.77.2.92', dead: '10.77.2.93' } as const;
const ocspUrl = `http://${hosts.ocsp}:8888/`;
const root = makeRoot('Farm root', { key: 'rsa' });
/** Its list names the second intermediate. */
const revokedIntermediate = makeIntermediate(root, 'Farm revoked intermediate', { key: 'rsa', crlUrls: [`http://${hosts.files}/root.crl`] });
const intermediate = makeIntermediate(root, 'Farm intermediate', { key: 'rsa', crlUrls: [`http://${hosts.files}/root.crl`] });

type Status = 'good' | 'revoked' | 'unknown';
interface FarmServer {
  readonly name: string;
  readonly cert: TestCert;
  readonly state: Status;
  /** In openssl's index. */
  readonly listed?: 'V' | 'R';
  readonly staple?: boolean;
}

const named = (name: string): string[] => modes.map((mode) => `${mode}-${name}.farm.test`);
const under = (parent: TestCert, name: string, pointers: { readonly ocspUrls?: string[]; readonly crlUrls?: string[] }): TestCert => issueServer(parent, { names: named(name), key: 'rsa', ...pointers });
const crlUrls = [`http://${hosts.files}/intermediate.crl`];
const dead = `http://${hosts.dead}/nobody`;
const farm: readonly FarmServer[] = [
  { name: 'ocsp-good', cert: under(intermediate, 'ocsp-good', { ocspUrls: [ocspUrl] }), state: 'good', listed: 'V' },
  { name: 'ocsp-revoked', cert: under(intermediate, 'ocsp-revoked', { ocspUrls: [ocspUrl] }), state: 'revoked', listed: 'R' },
  { name: 'ocsp-unknown', cert: under(intermediate, 'ocsp-unknown', { ocspUrls: [ocspUrl] }), state: 'unknown' },
  { name: 'crl-good', cert: under(intermediate, 'crl-good', { crlUrls }), state: 'good', listed: 'V' },
  { name: 'crl-revoked', cert: under(intermediate, 'crl-revoked', { crlUrls }), state: 'revoked', listed: 'R' },
  { name: 'ocsp-dead-crl', cert: under(intermediate, 'ocsp-dead-crl', { ocspUrls: [dead], crlUrls }), state: 'revoked', listed: 'R' },
  { name: 'crl-dead-first', cert: under(intermediate, 'crl-dead-first', { crlUrls: [dead, ...crlUrls] }), state: 'good', listed: 'V' },
  { name: 'staple-good', cert: under(intermediate, 'staple-good', {}), state: 'good', listed: 'V', staple: true },
  { name: 'staple-revoked', cert: under(intermediate, 'staple-revoked', {}), state: 'revoked', listed: 'R', staple: true },
  { name: 'intermediate-revoked', cert: under(revokedIntermediate, 'intermediate-revoked', { ocspUrls: [ocspUrl] }), state: 'revoked' },
  { name: 'no-pointer', cert: under(intermediate, 'no-pointer', {}), state: 'unknown' },
  { name: 'silent', cert: under(intermediate, 'silent', { ocspUrls: [`http://${hosts.silent}/ocsp`] }), state: 'unknown' },
];
const addressOf = (name: string): string => `10.77.2.${String(150 + farm.findIndex((one) => one.name === name))}`;

labFile('upstream revocation', async ({ lab }) => {
  await startFarm(lab.server);
}, (file) => {
  const at = gatewayFor(file, {
    mode: 'redirect',
    whole(certificates, state) {
      const rootFile = join(file.lab.gateway.folder, 'farm-root.pem');
      writeFileSync(rootFile, root.certPem);
      const config = labConfig(certificates, state, {
        mode: 'redirect', tunnelOnError: false, limits: { revocationWaitMs: 700, revocationFetchMs: 3_000 },
        policy: {
          ssl: [...modes.map((revocation) => ({ name: revocation, when: { sni: `${revocation}-*` }, then: 'intercept' as const, revocation })), { name: 'tunnel', then: 'tunnel' as const }],
          certificate: [{ name: 'let-silent-pass', when: { problem: 'revocation-unknown', name: 'hard-no-pointer.farm.test' }, then: 'tunnel' }],
        },
      });
      return { ...config, upstream: { extraCa: [rootFile] } };
    },
  });
  const visit = async (mode: string, name: string, more: readonly string[] = []): Promise<{ result: RunResult; session: Session | undefined }> => {
    const host = `${mode}-${name}.farm.test`;
    const command = ['curl', '-sS', '-m', '20', '--cacert', at.gateway.caFile, '--capath', '/nonexistent', '--resolve', `${host}:443:${addressOf(name)}`, '-w', '\nstatus %{http_code} seconds %{time_appconnect}', ...more, `https://${host}/`];
    const { result, sessions } = await at.gateway.during(() => file.lab.client.run(command));
    return { result, session: sessions[0] };
  };
  const expectServed = ({ result, session }: Awaited<ReturnType<typeof visit>>, name: string): void => {
    expect([result.code, result.stderr]).toEqual([0, '']);
    expect(result.stdout).toContain(`hello from ${name}`);
    expect(session).toMatchObject({ action: 'intercept', error: null, tls: { upstream: { problems: [] } } });
  };
  const expectDenied = ({ result, session }: Awaited<ReturnType<typeof visit>>, problem: 'revoked' | 'revocation-unknown'): void => {
    const code = problem === 'revoked' ? 'UPSTREAM_CERT_REVOKED' : 'UPSTREAM_CERT_REVOCATION_UNKNOWN';
    expect([result.code, result.stderr]).toEqual([0, '']);
    expect(result.stdout).toContain(code);
    expect(result.stdout).toContain('status 502');
    expect(session).toMatchObject({ action: 'deny', error: code, tls: { upstream: { problems: [problem] } } });
  };
  const rows = farm.filter(({ name }) => name !== 'silent').map((one): [string, FarmServer] => [one.name, one]);

  describe.each(modes)('%s', (mode) => {
    it.each(rows)('%s', async (name, { state }) => {
      const visited = await visit(mode, name, mode === 'hard' && name === 'no-pointer' ? ['-k'] : []);
      if (mode !== 'off' && state === 'revoked') expectDenied(visited, 'revoked');
      else if (mode === 'hard' && name === 'no-pointer') {
        // Such as an interceptor's certificates without a distribution point: a rule may let them pass unopened.
        expect(visited.result.stdout).toContain('hello from no-pointer');
        expect(visited.session).toMatchObject({ action: 'tunnel', rule: 'certificate/let-silent-pass', tls: { upstream: { problems: ['revocation-unknown'] }, client: null } });
      } else if (mode === 'hard' && state === 'unknown') expectDenied(visited, 'revocation-unknown');
      else expectServed(visited, name);
    });
  });

  it('a responder that never answers delays a first handshake by no more than the limit, and the next ones not at all', async () => {
    const seconds = ({ result }: Awaited<ReturnType<typeof visit>>): number => Number(/seconds (\S+)/.exec(result.stdout)?.[1]);
    const first = await visit('soft', 'silent');
    expectServed(first, 'silent');
    expect(seconds(first)).toBeGreaterThan(0.6);
    expect(seconds(first)).toBeLessThan(2);
    expectDenied(await visit('hard', 'silent'), 'revocation-unknown');
    // Once the fetch has failed, that is remembered.
    await sleep(3_200);
    await visit('soft', 'silent');
    const next = await visit('soft', 'silent');
    expectServed(next, 'silent');
    expect(seconds(next)).toBeLessThan(0.6);
  });

  it('what is known is not asked again: the responder counts', async () => {
    const asked = (): number => (responder?.output().match(/OCSP Request Data|OCSP Response Data/g) ?? []).length;
    const before = asked();
    expect(before).toBeGreaterThan(0);
    for (let round = 0; round < 3; round += 1) {
      expectServed(await visit('hard', 'ocsp-good'), 'ocsp-good');
      expectDenied(await visit('soft', 'ocsp-revoked'), 'revoked');
    }
    expect(asked()).toBe(before);
  });
});

let responder: Program | null = null;

/** Certificates, CRLs and staples by openssl; the responder answers for the intermediate. */
async function startFarm(host: Host): Promise<void> {
  const home = join(host.folder, 'farm');
  mkdirSync(join(home, 'files'), { recursive: true });
  const write = (name: string, content: string | Buffer): string => {
    writeFileSync(join(home, name), content);
    return join(home, name);
  };
  await host.mustRun(['ip', '-batch', '-'], { input: [...Object.values(hosts).filter((ip) => ip !== hosts.dead), ...farm.map(({ name }) => addressOf(name))].map((ip) => `address add ${ip}/24 dev wan\n`).join('') });
  for (const [name, ca, certs] of [
    ['intermediate', intermediate, farm.flatMap(({ cert, listed }): [TestCert, 'V' | 'R'][] => (listed === undefined ? [] : [[cert, listed]]))],
    ['root', root, [[intermediate, 'V'], [revokedIntermediate, 'R']] as [TestCert, 'V' | 'R'][]],
  ] as const) {
    write(`${name}.pem`, ca.certPem);
    write(`${name}.key`, ca.keyPem);
    write(`${name}.index`, certs.map(([cert, state]) => `${state}\t491231235959Z\t${state === 'R' ? '260101000000Z' : ''}\t${cert.serial.toString('hex').toUpperCase()}\tunknown\t/CN=${cert.serial.toString('hex')}\n`).join(''));
    write(`${name}.cnf`, `[ca]\ndefault_ca=farm\n[farm]\ndatabase=${home}/${name}.index\ndefault_md=sha256\ndefault_crl_days=7\n`);
    await host.mustRun(['openssl', 'ca', '-config', join(home, `${name}.cnf`), '-gencrl', '-cert', join(home, `${name}.pem`), '-keyfile', join(home, `${name}.key`), '-out', join(home, `${name}.crl.pem`)]);
    await host.mustRun(['openssl', 'crl', '-in', join(home, `${name}.crl.pem`), '-outform', 'DER', '-out', join(home, 'files', `${name}.crl`)]);
  }
  const signer = ['-index', join(home, 'intermediate.index'), '-CA', join(home, 'intermediate.pem'), '-rsigner', join(home, 'intermediate.pem'), '-rkey', join(home, 'intermediate.key'), '-ndays', '7'];
  responder = await host.spawn('ocsp', ['openssl', 'ocsp', ...signer, '-port', '8888', '-text'], { listens: ['*:8888'] });
  const servers: CertServer[] = [{ name: 'files', host: hosts.files, port: 80, folder: join(home, 'files') }, { name: 'silent', host: hosts.silent, port: 80 }];
  const stapled: string[] = [];
  for (const { name, cert, staple } of farm) {
    const certFile = write(`${name}.pem`, cert.chainPem);
    const keyFile = write(`${name}.key`, cert.keyPem);
    if (staple === true) {
      await host.mustRun(['openssl', 'ocsp', '-issuer', join(home, 'intermediate.pem'), '-cert', certFile, '-no_nonce', '-reqout', join(home, 'request')]);
      await host.mustRun(['openssl', 'ocsp', ...signer, '-reqin', join(home, 'request'), '-respout', join(home, `${name}.ocsp`)]);
      stapled.push(`  server { listen ${addressOf(name)}:443 ssl; ssl_certificate ${certFile}; ssl_certificate_key ${keyFile}; ssl_stapling on; ssl_stapling_file ${home}/${name}.ocsp; return 200 "hello from ${name}\\n"; }`);
    } else servers.push({ name, host: addressOf(name), port: 443, certFile, keyFile });
  }
  await host.spawn('farm', [process.execPath, join(import.meta.dirname, 'peers/cert-server.ts'), write('servers.json', JSON.stringify(servers))], { says: /^ready$/m, readyMs: 20_000 });
  const conf = write('nginx.conf', `daemon off;\nuser root;\npid ${home}/nginx.pid;\nerror_log stderr;\nevents {}\nhttp {\n  access_log off;\n${['body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((kind) => `  ${kind === 'body' ? 'client_body' : kind}_temp_path ${home}/${kind};`).join('\n')}\n${stapled.join('\n')}\n}\n`);
  await host.spawn('farm-nginx', ['nginx', '-p', home, '-c', conf, '-e', 'stderr'], { listens: [`${addressOf('staple-good')}:443`] });
}
