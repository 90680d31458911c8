// Every connection through an upstream proxy: Squid by CONNECT with a login, another gateway of ours by SOCKS 5 with a login; opened,
// tunnelled and plain flows alike, and what happens when the proxy refuses.

import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { issueServer, makeRoot } from '../support/certs.ts';
import { crlOf } from '../support/revocation.ts';
import type { CertServer } from './peers/cert-server.ts';
import { labConfig } from './support/config.ts';
import { curlWith, gatewayAt, loginServices, openServices, user } from './support/explicit.ts';
import type { Host } from './support/host.ts';
import { address } from './support/names.ts';
import { greeting, startNginx } from './support/peers/nginx.ts';
import { repository, sallyport } from './support/rules.ts';
import { gatewayFor, labFile } from './support/suite.ts';

/** A site whose CRL only the proxies can reach, at an address to which the gateway has no route. */
const [siteIp, hiddenIp] = ['10.77.2.80', '10.77.2.81'];
const siteName = 'checked.proxied.test';
const siteRoot = makeRoot('Proxied root');
/** Where the proxies are: an address of the server host. */
const proxyIp = address('plain').v4;
const login = `${user.name}:${encodeURIComponent(user.password)}`;

labFile('upstream proxy', async ({ lab, certificates }) => {
  const { server } = lab;
  await startNginx(server, certificates);
  await startCheckedSite(server);
  await lab.gateway.mustRun(['ip', 'route', 'add', 'blackhole', hiddenIp]);
  // Squid gives root up, so what it reads lies where everyone may.
  const home = mkdtempSync(join(tmpdir(), 'lab-squid-'));
  chmodSync(home, 0o755);
  afterAll(() => rmSync(home, { recursive: true }));
  const users = join(home, 'users');
  const services = loginServices(users);
  writeFileSync(join(home, 'squid.conf'), `
http_port ${proxyIp}:3128
auth_param basic program /usr/lib/squid/basic_ncsa_auth ${users}
acl known proxy_auth REQUIRED
http_access deny !known
http_access allow all
cache deny all
access_log none
cache_log /dev/null
pid_filename none
hosts_file /etc/hosts
visible_hostname squid.lab.test
shutdown_lifetime 0 seconds
`);
  // Its shared memory has names for the whole machine.
  const name = `lab${process.pid}`;
  afterAll(() => { for (const part of readdirSync('/dev/shm').filter((part) => part.startsWith(`${name}-`))) rmSync(join('/dev/shm', part)); });
  await server.spawn('squid', ['squid', '-N', '-n', name, '-f', join(home, 'squid.conf')], { listens: [`${proxyIp}:3128`], readyMs: 20_000 });
  const configFile = join(server.folder, 'socks.yaml');
  writeFileSync(configFile, stringify({
    state: join(server.folder, 'socks-state'), workers: 0, services: services?.filter(({ type }) => type === 'socks'), upstream: { allowLocal: true },
    issuer: { crl: { listen: '127.0.0.1:9080', host: '127.0.0.1:9080' } }, policy: { connection: [{ then: 'tunnel' }] },
  }));
  await server.spawn('socks', [...sallyport, 'run', '-c', configFile], { cwd: repository, listens: ['*:1081'], readyMs: 20_000 });
}, (file) => {
  const through = (proxy: string) => gatewayFor(file, {
    mode: 'redirect',
    whole: (certificates, stateFolder) => {
      const config = labConfig(certificates, stateFolder, {
        mode: 'redirect', services: openServices, limits: { revocationWaitMs: 10_000 },
        policy: { ssl: [{ name: 'closed', when: { sni: address('tls12').name }, then: 'tunnel' }, { name: 'checked', when: { sni: siteName }, then: 'intercept', revocation: 'hard', tunnelOnError: false }, { name: 'all', then: 'intercept', handoff: true }] },
      });
      const rootFile = join(file.lab.gateway.folder, 'proxied-root.pem');
      writeFileSync(rootFile, siteRoot.certPem);
      const { extraCa = [] } = config.upstream ?? {};
      return { ...config, upstream: { ...config.upstream, extraCa: [...extraCa, rootFile], proxy } };
    },
  });

  describe.each([['Squid by CONNECT', `http://${login}@${proxyIp}:3128`], ['SOCKS 5', `socks5://${login}@${proxyIp}:1081`]])('%s', (_name, proxy) => {
    const at = through(proxy);

    it('opened, tunnelled and plain flows of transparent clients', async () => {
      const ask = (url: string, caFile: string) => at.gateway.during(() => curlWith(file.lab.client, ['-4', '--cacert', caFile, url]));
      const opened = await ask(`https://${address('https').name}/`, at.gateway.caFile);
      expect([opened.result.stdout, opened.result.stderr]).toEqual([greeting('https'), '']);
      expect(opened.sessions).toMatchObject([{ action: 'intercept', error: null, destination: { ip: address('https').v4 } }]);
      const tunnelled = await ask(`https://${address('tls12').name}/`, file.certificates.rootFile);
      expect(tunnelled.result.stdout).toBe(greeting('tls12'));
      expect(tunnelled.sessions).toMatchObject([{ action: 'tunnel', error: null }]);
      expect((await ask(`http://${address('plain').name}/`, at.gateway.caFile)).result.stdout).toBe(greeting('plain'));
    });

    it('explicit clients, whose names the upstream proxy resolves', async () => {
      const { result, sessions } = await at.gateway.during(() => curlWith(file.lab.client, ['-x', `http://${gatewayAt(3128)}`, '--cacert', at.gateway.caFile, `https://${address('https').name}/`]));
      expect(result.stdout).toBe(greeting('https'));
      expect(sessions).toMatchObject([{ destination: { host: address('https').name, ip: null, port: 443 }, error: null }]);
      expect((await curlWith(file.lab.client, ['-x', `http://${gatewayAt(3128)}`, `http://${address('plain').name}/`])).stdout).toBe(greeting('plain'));
    });

    it('a destination that the proxy cannot reach', async () => {
      const { sessions } = await at.gateway.during(() => curlWith(file.lab.client, ['-4', '--cacert', at.gateway.caFile, `https://${address('refused').name}/`]));
      expect(sessions).toMatchObject([{ error: 'UPSTREAM_PROXY_FAILED' }]);
    });

    it('CRLs of servers\' certificates are fetched through it as well', async () => {
      const { result, sessions } = await at.gateway.during(() => curlWith(file.lab.client, ['--cacert', at.gateway.caFile, '--resolve', `${siteName}:443:${siteIp}`, `https://${siteName}/`]));
      expect([result.code, result.stderr]).toEqual([0, '']);
      expect(result.stdout).toContain('hello from checked');
      expect(sessions).toMatchObject([{ action: 'intercept', error: null, tls: { upstream: { problems: [] } } }]);
    });

    it('nothing went past it', async () => {
      const direct = await file.lab.gateway.mustRun(['ss', '-Htn', 'state', 'all', 'dst', `${address('https').v4}`]);
      expect(direct).toBe('');
    });
  });

  describe.each([
    ['a wrong login', `http://ann:wrong@${proxyIp}:3128`, 'the proxy wants a login (407)'], ['a wrong login by SOCKS', `socks5://ann:wrong@${proxyIp}:1081`, 'the proxy refuses the login'],
    ['a proxy that is not there', `http://${proxyIp}:3999`, 'the proxy cannot be reached: DIAL_REFUSED'],
  ])('%s', (_name, proxy, detail) => {
    const at = through(proxy);

    it('is told', async () => {
      const { sessions } = await at.gateway.during(() => curlWith(file.lab.client, ['-4', '--cacert', at.gateway.caFile, `https://${address('https').name}/`]));
      expect(sessions).toMatchObject([{ error: 'UPSTREAM_PROXY_FAILED', errorDetail: detail }]);
    });
  });
});

/** The site, whose certificate names a CRL on another address, and that CRL. */
async function startCheckedSite(server: Host): Promise<void> {
  const home = join(server.folder, 'checked');
  mkdirSync(home, { recursive: true });
  const write = (name: string, content: string | Buffer): string => {
    writeFileSync(join(home, name), content);
    return join(home, name);
  };
  const site = issueServer(siteRoot, { names: [siteName], crlUrls: [`http://${hiddenIp}/proxied.crl`] });
  write('proxied.crl', crlOf(siteRoot));
  const servers: CertServer[] = [
    { name: 'checked', host: siteIp, port: 443, certFile: write('site.pem', site.chainPem), keyFile: write('site.key', site.keyPem) }, { name: 'files', host: hiddenIp, port: 80, folder: home },
  ];
  await server.mustRun(['ip', '-batch', '-'], { input: [siteIp, hiddenIp].map((ip) => `address add ${ip}/24 dev wan\n`).join('') });
  await server.spawn('checked', [process.execPath, join(import.meta.dirname, 'peers/cert-server.ts'), write('servers.json', JSON.stringify(servers))], { says: /^ready$/m, readyMs: 20_000 });
}
