// More than one gateway: sharing an issuer or not, HTTP and HTTPS routed to different ones (the reference's "Scenario 1"), several behind a load
// balancer (its "Scenario 2"), and one interceptor in front of another (its "SSL Visibility deployed?").

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { makeRoot, type TestCert } from '../support/certs.ts';
import type { RunResult } from '../support/program.ts';
import type { ConfigInput } from '../../src/config/schema.ts';
import { labPolicy } from './support/config.ts';
import { address, network } from './support/names.ts';
import { greeting, startNginx } from './support/peers/nginx.ts';
import { PlainGateway, type PlainOptions } from './support/plain-gateway.ts';
import { repository, sallyport } from './support/rules.ts';
import { labFile } from './support/suite.ts';

const near = network.gatewayToClient.v4;
const inBand = address('crl').name;
const [firstClient, secondClient] = network.clients;
const issuerOf = (name: string): TestCert => makeRoot(name, { key: 'rsa', pathLength: 0 });
const quickSeconds = 1;

labFile('several gateways', async ({ lab, certificates }) => {
  await startNginx(lab.server, certificates);
}, (file) => {
  const { name, v4 } = address('https');

  /** Gateway `place` with its own ports in the gateway host: TLS on 8440+place, HTTP on 8080+place, revocation data on 9080+place. */
  const gateway = (place: number, crlHosts: string[], issuer: TestCert, more: Partial<ConfigInput> = {}): PlainOptions => ({
    label: `several-${String(place)}-${issuer.serial.toString('hex').slice(0, 6)}`, adminPort: 9090 + place, issuer,
    config: {
      issuer: { crl: { host: crlHosts, listen: `[::]:${String(9080 + place)}` } },
      services: [{ name: 'https', type: 'ssl', listen: `[::]:${String(8440 + place)}` }, { name: 'http', type: 'http', listen: `[::]:${String(8080 + place)}` }],
      policy: labPolicy, tunnelOnError: true, upstream: { extraCa: [file.certificates.rootFile] }, ...more,
    },
  });
  const listenerOf = (place: number): string => `${near}:${String(9080 + place)}`;

  /** Which gateway gets what, as a router or load balancer in front of them would say. */
  const route = async (rules: readonly string[]): Promise<void> => {
    await file.lab.gateway.run(['nft', 'delete', 'table', 'ip', 'several']);
    await file.lab.gateway.mustRun(['nft', '-f', '-'], { input: `table ip several {\n chain pre {\n type nat hook prerouting priority dstnat;\n${rules.map((rule) => `  iifname "lan" ${rule}`).join('\n')}\n }\n}\n` });
  };
  const openssl = (caFile: string, more: readonly string[] = []): Promise<RunResult> => file.lab.client.run([
    'openssl', 's_client', '-connect', `${v4}:443`, '-servername', name, '-verify_hostname', name, '-CAfile', caFile, '-verify_return_error', ...more,
  ], { input: 'Q\n' });
  const leafFile = async (caFile: string, label: string): Promise<string> => {
    const { stdout } = await openssl(caFile);
    const leaf = join(file.lab.client.folder, `${label}.pem`);
    writeFileSync(leaf, /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/.exec(stdout)?.[0] ?? '');
    return leaf;
  };
  const pointsOf = async (leaf: string): Promise<string[]> => {
    const text = await file.lab.client.mustRun(['openssl', 'x509', '-in', leaf, '-noout', '-ext', 'crlDistributionPoints']);
    return [...text.matchAll(/URI:(\S+)/g)].map(([, url = '']) => url);
  };
  const fetchCrl = async (url: string, to: string): Promise<{ status: number; seconds: number }> => {
    const { stdout } = await file.lab.client.run(['curl', '-sS', '-m', '10', '-o', to, '-w', '%{http_code} %{time_total}', url]);
    const [status, seconds] = stdout.split(' ').map(Number);
    return { status: status ?? 0, seconds: seconds ?? Infinity };
  };
  const expectVerified = ({ code, stdout, stderr }: RunResult): void => {
    expect(stderr).not.toContain('error');
    expect([stdout.includes('Verify return code: 0 (ok)'), code]).toEqual([true, 0]);
  };
  const running: PlainGateway[] = [];
  const start = async (...options: readonly PlainOptions[]): Promise<void> => {
    for (const one of options) running.push(await PlainGateway.start(file.lab.gateway, one));
  };
  const at = (place: number): PlainGateway => {
    const found = running[place];
    if (found === undefined) throw new Error('only inside tests');
    return found;
  };
  const stopAll = async (): Promise<void> => {
    for (const one of running.splice(0)) await one.stop();
  };

  describe('Scenario 1: port 443 on one gateway, port 80 on another', () => {
    afterAll(stopAll);
    const split = ['tcp dport 443 redirect to :8440', 'tcp dport 80 redirect to :8081'];

    describe('with the same issuer', () => {
      beforeAll(async () => {
        const shared = issuerOf('Shared issuer');
        await start(gateway(0, [inBand], shared), gateway(1, [inBand], shared));
        await route(split);
      });
      afterAll(stopAll);

      it('a client of the one gets the CRL from the other, which is the same issuer\'s', async () => {
        expectVerified(await openssl(at(0).caFile, ['-crl_check', '-crl_download']));
        const [fetched] = await at(1).ended();
        expect(fetched).toMatchObject({ service: 'http', protocol: 'http', error: null, details: { http: { host: inBand, status: 200 } } });
      });

      it('and the OCSP answer about the one\'s certificate from the other', async () => {
        const leaf = await leafFile(at(0).caFile, 'shared');
        const asked = await file.lab.client.run(['openssl', 'ocsp', '-issuer', at(1).caFile, '-cert', leaf, '-url', `http://${listenerOf(1)}/ocsp`, '-CAfile', at(1).caFile]);
        expect(`${asked.stdout}${asked.stderr}`).toContain('Response verify OK');
        expect(asked.stdout).toContain(`${leaf}: good`);
      });
    });

    describe('with different issuers and the distribution point moved to the gateway\'s own address', () => {
      beforeAll(async () => {
        await start(gateway(0, [inBand, listenerOf(0)], issuerOf('Issuer of HTTPS')), gateway(1, [inBand, listenerOf(1)], issuerOf('Issuer of HTTP')));
        await route(split);
      });
      afterAll(stopAll);

      it('the wrong gateway answers 404 at once, the second distribution point succeeds', async () => {
        const leaf = await leafFile(at(0).caFile, 'moved');
        const crl = join(file.lab.client.folder, 'moved.crl');
        const [first = '', second = ''] = await pointsOf(leaf);
        expect([first, second]).toEqual([expect.stringMatching(`^http://${inBand}/ssl/crl/`), expect.stringMatching(`^http://${listenerOf(0)}/ssl/crl/`)]);
        const wrong = await fetchCrl(first, crl);
        expect(wrong.status).toBe(404);
        expect(wrong.seconds).toBeLessThan(quickSeconds);
        expect(await fetchCrl(second, crl)).toMatchObject({ status: 200 });
        const verified = await file.lab.client.run(['openssl', 'verify', '-x509_strict', '-crl_check', '-CRLfile', crl, '-CAfile', at(0).caFile, leaf]);
        expect(verified.stdout).toContain(': OK');
      });

      it('the wrong gateway\'s own list is no list of the issuer: that it is not served in its place matters', async () => {
        const leaf = await leafFile(at(0).caFile, 'wrong');
        const crl = join(file.lab.client.folder, 'wrong.crl');
        expect(await fetchCrl(`http://${inBand}/ssl/crl/issuer_CA.crl`, crl)).toMatchObject({ status: 200 });
        const verified = await file.lab.client.run(['openssl', 'verify', '-crl_check', '-CRLfile', crl, '-CAfile', at(0).caFile, leaf]);
        expect(verified.stderr).toContain('unable to get certificate CRL');
      });
    });

    it('the host alone: openssl, which tries only the first point, verifies', async () => {
      await start(gateway(0, [listenerOf(0)], issuerOf('Issuer of HTTPS')), gateway(1, [listenerOf(1)], issuerOf('Issuer of HTTP')));
      await route(split);
      expectVerified(await openssl(at(0).caFile, ['-crl_check', '-crl_download']));
    });
  });

  describe('Scenario 2: gateways behind a load balancer, each with its own issuer', () => {
    beforeAll(async () => {
      await start(gateway(0, [listenerOf(0)], issuerOf('Issuer one')), gateway(1, [listenerOf(1)], issuerOf('Issuer two')));
      await route([`ip saddr ${firstClient} tcp dport 443 redirect to :8440`, `ip saddr ${secondClient} tcp dport 443 redirect to :8441`]);
    });
    afterAll(stopAll);

    it.each([[0, firstClient], [1, secondClient]] as const)('a client of gateway %i verifies with the CRL of that gateway, whoever else it trusts', async (place, client) => {
      expectVerified(await openssl(at(place).caFile, ['-bind', client, '-crl_check', '-crl_download']));
    });

    it('the one\'s list is asked for at the other in vain, and quickly', async () => {
      const [mine = ''] = await pointsOf(await leafFile(at(0).caFile, 'balanced'));
      const { status, seconds } = await fetchCrl(mine.replace(listenerOf(0), listenerOf(1)), join(file.lab.client.folder, 'vain.crl'));
      expect(status).toBe(404);
      expect(seconds).toBeLessThan(quickSeconds);
    });
  });

  describe('SSL Visibility deployed? An interceptor in front of another', () => {
    const front = 'http://127.0.0.1:3128';
    const foreign = makeRoot('Foreign interceptor', { key: 'rsa', pathLength: 0 });
    let inFront: PlainGateway | null = null;
    interface Front {
      readonly upstream?: ConfigInput['upstream'];
      readonly certificate?: NonNullable<ConfigInput['policy']>['certificate'];
      readonly issuer?: TestCert;
    }
    const startFront = async (label: string, extraCa: readonly string[], { upstream, certificate = [], issuer }: Front = {}): Promise<PlainGateway> => {
      inFront = await PlainGateway.start(file.lab.client, {
        label, adminPort: 9190, ...(issuer === undefined ? {} : { issuer }),
        config: {
          issuer: { crl: { host: '127.0.0.1:9180', listen: '127.0.0.1:9180' } }, services: [{ name: 'proxy', type: 'http-explicit', listen: '127.0.0.1:3128' }],
          policy: { ...labPolicy, certificate }, tunnelOnError: false, upstream: { ca: 'none', extraCa: [...extraCa], ...upstream },
        },
      });
      return inFront;
    };
    const throughFront = (caFile: string, more: readonly string[] = []): Promise<RunResult> => file.lab.client.run(['curl', '-sS', '-m', '20', '--http1.1', '-x', front, '--cacert', caFile, '--capath', '/nonexistent', ...more, `https://${name}/`]);
    const stopFront = async (): Promise<void> => {
      const one = inFront;
      inFront = null;
      await one?.stop();
    };
    // The interceptors behind listen for IPv4 alone: a front that went by IPv6 would pass them by.
    beforeAll(async () => { await file.lab.client.mustRun(['sysctl', '-qw', 'net.ipv6.conf.all.disable_ipv6=1']); });
    afterEach(stopFront);

    describe('another gateway behind, whose CA is in extraCa', () => {
      beforeAll(async () => {
        await start(gateway(0, [listenerOf(0)], issuerOf('Issuer behind')));
        await route(['tcp dport 443 redirect to :8440']);
      });
      afterAll(stopAll);

      it('works, each judging what it sees; the state of the one behind is checked hard', async () => {
        const one = await startFront('front', [at(0).caFile], { upstream: { revocation: 'hard' } });
        const { code, stdout, stderr } = await throughFront(one.caFile);
        expect([code, stdout, stderr]).toEqual([0, greeting('https'), '']);
        expect((await one.ended())[0]).toMatchObject({ action: 'intercept', protocol: 'https', error: null, tls: { upstream: { name: 'verified', problems: [] } } });
        expect((await at(0).ended())[0]).toMatchObject({ action: 'intercept', protocol: 'https', error: null, client: { ip: firstClient } });
        expectVerified(await file.lab.client.run(['openssl', 's_client', '-proxy', '127.0.0.1:3128', '-connect', `${name}:443`, '-servername', name, '-CAfile', one.caFile, '-verify_return_error', '-crl_check', '-crl_download'], { input: 'Q\n' }));
      });

      it('without its CA in extraCa it is denied, and the page says so', async () => {
        const one = await startFront('front-stranger', [file.certificates.rootFile]);
        const { code, stdout } = await throughFront(one.caFile);
        expect(code).toBe(0);
        expect(stdout).toContain('UPSTREAM_CERT_UNTRUSTED');
      });
    });

    describe('an interceptor of another make behind, without distribution points', () => {
      beforeAll(async () => {
        const home = join(file.lab.gateway.folder, 'sslsplit');
        mkdirSync(home, { recursive: true });
        writeFileSync(join(home, 'ca.pem'), foreign.certPem);
        writeFileSync(join(home, 'ca.key'), foreign.keyPem);
        await file.lab.gateway.spawn('sslsplit', ['sslsplit', '-D', '-k', join(home, 'ca.key'), '-c', join(home, 'ca.pem'), 'ssl', '0.0.0.0', '8449'], { listens: ['0.0.0.0:8449'], readyMs: 20_000 });
        await route(['tcp dport 443 redirect to :8449']);
      });
      const foreignFile = (): string => join(file.lab.gateway.folder, 'sslsplit', 'ca.pem');

      it('a client that insists on revocation refuses it alone, and takes ours in front of it', async () => {
        const alone = await openssl(foreignFile(), ['-crl_check', '-crl_download']);
        expect(alone.stderr).toContain('unable to get certificate CRL');
        const one = await startFront('front-soft', [foreignFile()]);
        expectVerified(await file.lab.client.run(['openssl', 's_client', '-proxy', '127.0.0.1:3128', '-connect', `${name}:443`, '-servername', name, '-CAfile', one.caFile, '-verify_return_error', '-crl_check', '-crl_download'], { input: 'Q\n' }));
      });

      it('where revocation is checked hard, its certificate without distribution point is denied, and can be tunnelled by rule', async () => {
        const one = await startFront('front-hard', [foreignFile()], { upstream: { revocation: 'hard' } });
        expect((await throughFront(one.caFile)).stdout).toContain('UPSTREAM_CERT_REVOCATION_UNKNOWN');
        await stopFront();
        const ruled = await startFront('front-ruled', [foreignFile()], { upstream: { revocation: 'hard' }, certificate: [{ name: 'no-points', when: { problem: 'revocation-unknown' }, then: 'tunnel' }] });
        const { code, stdout } = await throughFront(foreignFile());
        expect([code, stdout]).toEqual([0, greeting('https')]);
        expect((await ruled.ended())[0]).toMatchObject({ action: 'tunnel', rule: 'certificate/no-points', tls: { upstream: { problems: ['revocation-unknown'] } } });
      });
    });

    describe('doctor on the gateway in front', () => {
      afterAll(stopAll);
      const doctor = async (one: PlainGateway): Promise<{ name: string; state: string; text: string; mend: string | null } | undefined> => {
        const { stdout } = await file.lab.client.run([...sallyport, 'doctor', '-c', one.configFile, '--server', `${name}:443`, '--json'], { cwd: repository });
        return JSON.parse(stdout).checks.find((check: { name: string }) => check.name === 'server');
      };

      it('reports certificates of an interceptor behind that name no distribution point, and how to tunnel them', async () => {
        await route(['tcp dport 443 redirect to :8449']);
        const found = await doctor(await startFront('front-doctor', []));
        expect(found).toMatchObject({ state: 'warn', text: expect.stringMatching(`${name}:443 .*CN=Foreign interceptor.*neither a CRL distribution point`), mend: expect.stringContaining('problem: revocation-unknown') });
      });

      it('and is content with those of another gateway', async () => {
        await start(gateway(0, [listenerOf(0)], issuerOf('Issuer for the doctor')));
        await route(['tcp dport 443 redirect to :8440']);
        expect(await doctor(await startFront('front-content', []))).toMatchObject({ state: 'ok', text: expect.stringContaining('a CRL and OCSP') });
      });
    });

    describe('a gateway that shares the issuer behind: its own issuer is never believed from a server', () => {
      afterAll(stopAll);

      it('although that issuer is in extraCa', async () => {
        const shared = issuerOf('Shared in a row');
        await start(gateway(0, [listenerOf(0)], shared));
        await route(['tcp dport 443 redirect to :8440']);
        const one = await startFront('front-shared', [at(0).caFile], { issuer: shared });
        expect((await throughFront(one.caFile)).stdout).toContain('UPSTREAM_CERT_UNTRUSTED');
      });
    });
  });
});
