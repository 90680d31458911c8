// What people use HTTP with, through the transparent gateway: wget, git, apt and npm from repositories served over https, nghttp and h2load, and
// Chromium with two names on one wildcard certificate.

import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openBrowser } from '../support/browser.ts';
import { describeResult } from '../support/program.ts';
import type { RunResult } from '../support/program.ts';
import { labPolicy } from './support/config.ts';
import type { Host } from './support/host.ts';
import { address } from './support/names.ts';
import { greeting, startNginx } from './support/peers/nginx.ts';
import { startWebOrigin } from './support/peers/web-peers.ts';
import { gatewayFor, labFile } from './support/suite.ts';

const packageVersion = '1.2.3';
const h2loadRequests = 20_000;

labFile('HTTP clients', async ({ lab, certificates }) => {
  await startNginx(lab.server, certificates);
  const files = join(lab.server.folder, 'nginx', 'www');
  makeAptRepository(join(files, 'apt'));
  await lab.server.mustRun(['dpkg-deb', '--build', '--root-owner-group', join(files, 'apt', 'tree'), join(files, 'apt', 'lab-words.deb')]);
  indexAptRepository(join(files, 'apt'));
  await makeNpmRegistry(lab.server, join(files, 'npm'));
  await makeGitRepository(lab.server, join(lab.server.folder, 'git'));
  await startWebOrigin(lab.server, certificates.server, join(lab.server.folder, 'git'));
}, (file) => {
  describe('by the command line', () => {
    const at = gatewayFor(file, { mode: 'redirect', workers: 2 });
    const files = `https://${address('https').name}/files`;
    const folder = (name: string): string => {
      const path = join(file.lab.client.folder, name);
      mkdirSync(path, { recursive: true });
      return path;
    };

    it('wget over https and http', async () => {
      const urls = [`https://${address('https').name}/`, `http://${address('plain').name}/`];
      const { result, sessions } = await at.gateway.during(() => file.lab.client.run(['wget', '-q', '-O', '-', `--ca-certificate=${at.gateway.caFile}`, ...urls]), { count: 2 });
      expect([result.code, result.stdout], describeResult(result)).toEqual([0, greeting('https') + greeting('plain')]);
      expect(sessions.map(({ protocol, error }) => [protocol, error])).toEqual([['https', null], ['http', null]]);
    });

    it.each(['HTTP/1.1', 'HTTP/2'])('git clones and pushes over %s', async (version) => {
      const work = folder(`git-${version.replace('/', '-')}`);
      const git = (...args: string[]): Promise<string> => file.lab.client.mustRun(
        ['git', '-c', `http.sslCAInfo=${at.gateway.caFile}`, '-c', `http.version=${version}`, '-c', 'http.postBuffer=65536', ...author, ...args], { cwd: work, timeoutMs: 60_000 },
      );
      const { sessions } = await at.gateway.during(() => git('clone', '-q', repositoryUrl, 'lab'));
      const protocol = version === 'HTTP/2' ? 'h2' : 'https';
      expect(sessions.map((session) => session.protocol)).toEqual([protocol]);
      expect(createHash('sha256').update(readFileSync(join(work, 'lab', 'noise'))).digest('hex')).toBe(createHash('sha256').update(noise).digest('hex'));
      // Above http.postBuffer, so that the pack goes in chunks of unknown length.
      writeFileSync(join(work, 'lab', 'more'), createHash('shake256', { outputLength: pushedBytes }).update(version).digest());
      await git('-C', 'lab', 'add', 'more');
      await git('-C', 'lab', 'commit', '-q', '-m', 'More');
      const branch = version.replace('/', '-');
      const pushed = await withRoomToSend(file.lab.client, () => at.gateway.during(() => git('-C', 'lab', 'push', '-q', 'origin', `HEAD:refs/heads/${branch}`)));
      expect(pushed.sessions.map((session) => [session.protocol, session.error])).toEqual([[protocol, null]]);
      expect(await branchOf(file.lab.server, branch)).toBe((await git('-C', 'lab', 'rev-parse', 'HEAD')).trim());
    });

    it(`${String(packs)} packs that nghttp pushes at once over HTTP/2 arrive whole`, { timeout: 120_000 }, async () => {
      const work = folder('packs');
      const pushes = await Promise.all(Array.from({ length: packs }, (_, index) => makePush(file.lab.client, work, index)));
      const fields = ['Content-Type: application/x-git-receive-pack-request', 'Accept: application/x-git-receive-pack-result'].flatMap((field) => ['-H', field]);
      const push = (body: string): Promise<RunResult> => file.lab.client.run(['nghttp', '--no-content-length', ...fields, '-d', body, `${repositoryUrl}/git-receive-pack`], { timeoutMs: 60_000 });
      const { result, sessions } = await at.gateway.during(() => Promise.all(pushes.map(({ body }) => push(body))), { count: packs, waitMs: 20_000 });
      for (const [index, { branch, commit }] of pushes.entries()) {
        expect(result[index]?.stdout).toMatch(new RegExp(`unpack ok\n[^]*ok refs/heads/${branch}\n`));
        expect(await branchOf(file.lab.server, branch)).toBe(commit);
      }
      expect(sessions.map(({ protocol, error }) => [protocol, error])).toEqual(pushes.map(() => ['h2', null]));
      await file.lab.server.mustRun(['git', '-C', join(file.lab.server.folder, 'git', 'lab.git'), 'fsck', '--full', '--strict'], { timeoutMs: 60_000 });
    });

    it('apt updates and downloads from a repository', async () => {
      const root = folder('apt');
      for (const name of ['lists/partial', 'archives/partial', 'etc/preferences.d', 'etc/apt.conf.d']) mkdirSync(join(root, name), { recursive: true });
      writeFileSync(join(root, 'etc/sources.list'), `deb [trusted=yes] ${files}/apt ./\n`);
      const options = [
        `Dir::State=${root}`, `Dir::State::lists=${root}/lists`, `Dir::Cache=${root}`, `Dir::Cache::archives=${root}/archives`, `Dir::Etc=${root}/etc`, 'Dir::Etc::trustedparts=/nonexistent',
        'Dir::State::status=/dev/null', 'APT::Sandbox::User=root', `Acquire::https::CaInfo=${at.gateway.caFile}`, 'Acquire::Retries=0', 'Acquire::Languages=none',
      ].flatMap((option) => ['-o', option]);
      const { sessions } = await at.gateway.during(() => file.lab.client.mustRun(['apt-get', '-q', ...options, 'update'], { timeoutMs: 60_000 }));
      expect(sessions.every(({ protocol, error, action }) => protocol === 'https' && error === null && action === 'intercept')).toBe(true);
      await file.lab.client.mustRun(['apt-get', '-q', ...options, 'download', 'lab-words'], { cwd: root, timeoutMs: 60_000 });
      const deb = readFileSync(join(root, `lab-words_${packageVersion}_all.deb`));
      expect(deb.equals(readFileSync(join(file.lab.server.folder, 'nginx/www/apt/lab-words.deb')))).toBe(true);
    });

    it('npm installs from a registry', async () => {
      const work = folder('npm');
      writeFileSync(join(work, 'package.json'), '{"name":"lab","version":"1.0.0"}');
      const options = [`--registry=${files}/npm/`, `--cafile=${at.gateway.caFile}`, '--no-audit', '--no-fund', '--no-update-notifier', '--ignore-scripts', '--fetch-retries=0'];
      const { sessions } = await at.gateway.during(() => file.lab.client.mustRun(['npm', 'install', ...options, `lab-leaf@${packageVersion}`], { cwd: work, timeoutMs: 90_000 }));
      expect(sessions.every(({ protocol, error }) => protocol === 'https' && error === null)).toBe(true);
      expect(readFileSync(join(work, 'node_modules/lab-leaf/index.js'), 'utf8')).toBe(leafSource);
    });

    it('nghttp takes a page, with its trailers and early hints', async () => {
      const { result, sessions } = await at.gateway.during(() => file.lab.client.run(['nghttp', '-v', `https://${address('node').name}/early`, `https://${address('node').name}/version`]));
      expect(result.code, describeResult(result)).toBe(0);
      expect(result.stdout).toMatch(/:status: 103\n[^]*link: <\/style\.css>[^]*:status: 200\n[^]*body\n[^]*x-checksum: abc\n/);
      expect(sessions).toMatchObject([{ protocol: 'h2', error: null, details: { http: { requests: 2 } } }]);
    });

    it(`h2load makes ${String(h2loadRequests)} requests on 50 connections, none of which fails`, async () => {
      const command = ['h2load', '-n', String(h2loadRequests), '-c', '50', '-m', '10', `https://${address('https').name}/`];
      const { result, sessions } = await at.gateway.during(() => file.lab.client.run(command, { timeoutMs: 110_000 }), { count: 50, waitMs: 20_000 });
      expect(result.stdout, describeResult(result)).toContain(`requests: ${String(h2loadRequests)} total, ${String(h2loadRequests)} started, ${String(h2loadRequests)} done, ${String(h2loadRequests)} succeeded, 0 failed, 0 errored, 0 timeout`);
      expect(result.stdout).toContain(`status codes: ${String(h2loadRequests)} 2xx, 0 3xx, 0 4xx, 0 5xx`);
      console.log(/^finished in .*$/m.exec(result.stdout)?.[0] ?? '');
      expect(sessions.map(({ protocol, error }) => [protocol, error])).toEqual(Array.from({ length: 50 }, () => ['h2', null]));
      expect(sessions.reduce((sum, { details }) => sum + (details.http?.requests ?? 0), 0)).toBe(h2loadRequests);
    });
  });

  describe('curl and a server that says early hints and trailers', () => {
    const at = gatewayFor(file, { mode: 'tproxy' });
    it.each(['--http1.1', '--http2'])('%s', async (flag) => {
      const result = await file.lab.client.run(['curl', '-sS', '-m', '30', flag, '--cacert', at.gateway.caFile, '-i', `https://${address('node').name}/early`]);
      expect([result.code, result.stdout.toLowerCase().replaceAll('\r', '')]).toEqual([0, expect.stringMatching(
        /^http\/[12](?:\.1)? 103 ?[^]*link: <\/style\.css>; rel=preload; as=style\n[^]*\nhttp\/[12](?:\.1)? 200[^]*\n\nbody\nx-checksum: abc\n/,
      )]);
    });
  });

  describe('rules on requests', () => {
    const at = gatewayFor(file, {
      mode: 'tproxy',
      policy: {
        ...labPolicy,
        http: [
          { name: 'admin', when: { path: '/admin/*' }, then: 'deny', status: 451 }, { name: 'delete', when: { method: 'DELETE' }, then: 'deny' },
          { name: 'field', when: { header: 'x-forbidden' }, then: 'deny' }, { name: 'sockets', when: { upgrade: 'websocket' }, then: 'deny' },
        ],
      },
    });
    const url = `https://${address('https').name}`;
    const ask = async (flag: string, more: readonly string[]): Promise<string> => {
      const result = await file.lab.client.run(['curl', '-sS', '-m', '30', flag, '--cacert', at.gateway.caFile, ...more]);
      expect(result.code, describeResult(result)).toBe(0);
      return result.stdout.replaceAll('\r', '');
    };

    it.each(['--http1.1', '--http2'])('judge path, method and fields of each request, and are told in the form that was asked for (%s)', async (flag) => {
      const page = await ask(flag, ['-i', '-H', 'Accept: text/html,*/*;q=0.8', `${url}/x/../admin/users?secret=1`, '--path-as-is']);
      expect(page).toMatch(/^HTTP\/[12](?:\.1)? 451 ?[^]*content-type: text\/html[^]*cache-control: no-store[^]*<dd>REQUEST_DENIED<\/dd>[^]*<dd>http\/admin<\/dd>/i);
      expect(page).not.toContain('secret');
      const json: unknown = JSON.parse(await ask(flag, ['-X', 'DELETE', '-H', 'Accept: application/json', `${url}/`]));
      expect(json).toMatchObject({ error: { code: 'REQUEST_DENIED', status: 403, rule: 'http/delete' } });
      expect(await ask(flag, ['-H', 'X-Forbidden: 1', `${url}/`])).toMatch(/^403 Forbidden\n[^]*Code: REQUEST_DENIED\nRule: http\/field\n/);
      expect(await ask(flag, ['-I', `${url}/admin/`])).toMatch(/^HTTP\/[12](?:\.1)? 451 [^]*\n\n$/);
      // A refusal costs nobody the connection.
      expect(await ask(flag, ['-o', '/dev/null', '-w', '%{http_code} %{num_connects}\n', `${url}/admin/`, '-o', '/dev/null', `${url}/`])).toBe('451 1\n200 0\n');
      const logged = at.gateway.requestLog().filter(({ status }) => status === 451);
      expect(logged[0]).toMatchObject({ method: 'GET', path: '/x/../admin/users', rule: 'http/admin' });
      expect(JSON.stringify(at.gateway.requestLog()) + at.gateway.program.output()).not.toContain('secret');
    });

    it('judge an upgrade', async () => {
      expect(await ask('--http1.1', ['-H', 'Connection: Upgrade', '-H', 'Upgrade: websocket', `${url}/`])).toContain('Rule: http/sockets');
    });
  });

  describe('Chromium with two names of one address and one wildcard certificate, one of them tunnelled by rule', () => {
    const private_ = address('wide-too').name;
    const at = gatewayFor(file, {
      mode: 'redirect',
      policy: { ...labPolicy, ssl: [{ name: 'private', when: { sni: [private_] }, then: 'tunnel' }, ...labPolicy.ssl] },
    });

    it('obeys the rule: what it asks on the opened connection is sent back with 421, and goes through the tunnel', async () => {
      const browser = await openBrowser({ namespace: file.lab.client.namespace, folder: file.lab.client.folder, roots: [at.gateway.caFile, file.certificates.rootFile] });
      try {
        const { result, sessions } = await at.gateway.during(async () => {
          await browser.page.goto(`https://${address('wide').name}/`);
          // A navigation: what a page fetches from another origin without credentials has connections of its own.
          const answer = await browser.page.goto(`https://${private_}/host`);
          const text = await answer?.text();
          await browser.close();
          return text;
        }, { count: 2, waitMs: 20_000 });
        expect(result).toBe(`${private_} HTTP/2.0\n`);
        const asked = at.gateway.requestLog().filter(({ host }) => host === private_);
        expect(asked).toMatchObject([{ path: '/host', status: 421, protocol: 'h2', rule: expect.anything() }]);
        expect(sessions.map(({ sni, action, protocol }) => [sni, action, protocol])).toEqual(expect.arrayContaining([
          [address('wide').name, 'intercept', 'h2'], [private_, 'tunnel', 'tls'],
        ]));
        expect(sessions.filter(({ sni, action }) => sni === private_ && action !== 'tunnel')).toEqual([]);
      } finally {
        await browser.close();
      }
    });
  });
});

const noise = createHash('shake256', { outputLength: 2_000_000 }).update('lab git').digest();
const repositoryUrl = `https://${address('node').name}/git/lab.git`;
const author = ['-c', 'user.name=lab', '-c', 'user.email=lab@lab.test', '-c', 'init.defaultBranch=main'] as const;
const pushedBytes = 300_000;
const packs = 6;
const packBytes = 3_000_000;
const leafSource = 'export const leaf = 1;\n';

/** A bare repository that may be pushed to, with one large file. */
async function makeGitRepository(host: Host, folder: string): Promise<void> {
  const work = join(folder, 'work');
  mkdirSync(work, { recursive: true });
  writeFileSync(join(work, 'noise'), noise);
  const git = (...args: string[]): Promise<string> => host.mustRun(['git', ...author, ...args], { cwd: work });
  await git('init', '-q');
  await git('add', '.');
  await git('commit', '-q', '-m', 'First');
  await git('clone', '-q', '--bare', work, join(folder, 'lab.git'));
  await git('-C', join(folder, 'lab.git'), 'config', 'http.receivepack', 'true');
}

/**
 * Work while the sockets of a host take more than `pushedBytes` at once. Where a socket takes no more just then, libcurl 7.88 puts a piece of a body that
 * it sends over HTTP/2 there twice, or hangs, or gives up: what its http2.c has framed it reports as not sent. 11 of 160 pushes of 3 MB by git 2.39 straight to such a
 * server, without a gateway, came with one piece repeated, and were right without it; none of 100 with libcurl 8.14, none of 60 with room for all of it.
 */
async function withRoomToSend<T>(host: Host, work: () => Promise<T>): Promise<T> {
  const setting = 'net.ipv4.tcp_wmem';
  const before = (await host.mustRun(['sysctl', '-n', setting])).trim();
  await host.mustRun(['sysctl', '-qw', `${setting}=4096 ${String(16 * pushedBytes)} ${String(16 * pushedBytes)}`]);
  try {
    return await work();
  } finally {
    await host.mustRun(['sysctl', '-qw', `${setting}=${before}`]);
  }
}

/** What git-receive-pack is sent (gitprotocol-http) to make a branch of one commit, in a file. */
async function makePush(host: Host, folder: string, index: number): Promise<{ branch: string; commit: string; body: string }> {
  const work = join(folder, String(index));
  const branch = `pack-${String(index)}`;
  mkdirSync(work);
  writeFileSync(join(work, 'noise'), createHash('shake256', { outputLength: packBytes }).update(branch).digest());
  const git = (...args: string[]): Promise<string> => host.mustRun(['git', ...author, ...args], { cwd: work });
  await git('init', '-q');
  await git('add', 'noise');
  await git('commit', '-q', '-m', branch);
  const commit = (await git('rev-parse', 'HEAD')).trim();
  const pack = await host.mustRun(['git', 'pack-objects', '-q', '--revs', join(folder, branch)], { cwd: work, input: `${commit}\n` });
  const command = `${'0'.repeat(commit.length)} ${commit} refs/heads/${branch}\0report-status`;
  const body = join(folder, `${branch}.body`);
  writeFileSync(body, Buffer.concat([
    Buffer.from(`${(command.length + 4).toString(16).padStart(4, '0')}${command}0000`), readFileSync(join(folder, `${branch}-${pack.trim()}.pack`)),
  ]));
  return { branch, commit, body };
}

/** What a branch of the server's repository is at. */
async function branchOf(host: Host, branch: string): Promise<string> {
  return (await host.mustRun(['git', '-C', join(host.folder, 'git', 'lab.git'), 'rev-parse', `refs/heads/${branch}`])).trim();
}

function makeAptRepository(folder: string): void {
  mkdirSync(join(folder, 'tree', 'DEBIAN'), { recursive: true });
  mkdirSync(join(folder, 'tree', 'usr', 'share', 'lab-words'), { recursive: true });
  writeFileSync(join(folder, 'tree', 'usr', 'share', 'lab-words', 'noise'), noise.subarray(0, 500_000));
  writeFileSync(join(folder, 'tree', 'DEBIAN', 'control'), control());
}

function indexAptRepository(folder: string): void {
  const deb = readFileSync(join(folder, 'lab-words.deb'));
  const packages = `${control()}Filename: ./lab-words.deb\nSize: ${String(deb.length)}\nSHA256: ${createHash('sha256').update(deb).digest('hex')}\n`;
  writeFileSync(join(folder, 'Packages'), packages);
  const hash = createHash('sha256').update(packages).digest('hex');
  writeFileSync(join(folder, 'Release'), `Suite: lab\nDate: ${new Date().toUTCString().replace('GMT', 'UTC')}\nSHA256:\n ${hash} ${String(packages.length)} Packages\n`);
}

function control(): string {
  return `Package: lab-words\nVersion: ${packageVersion}\nArchitecture: all\nMaintainer: Lab <lab@lab.test>\nDescription: words of the lab\n`;
}

/** What an npm client asks of a registry for one package: its document and its tarball. */
async function makeNpmRegistry(host: Host, folder: string): Promise<void> {
  const tree = join(folder, 'tree', 'package');
  mkdirSync(tree, { recursive: true });
  writeFileSync(join(tree, 'package.json'), JSON.stringify({ name: 'lab-leaf', version: packageVersion }));
  writeFileSync(join(tree, 'index.js'), leafSource);
  await host.mustRun(['tar', '-czf', join(folder, 'lab-leaf.tgz'), '-C', join(folder, 'tree'), 'package']);
  const tarball = readFileSync(join(folder, 'lab-leaf.tgz'));
  const dist = { tarball: `https://${address('https').name}/files/npm/lab-leaf.tgz`, integrity: `sha512-${createHash('sha512').update(tarball).digest('base64')}` };
  const manifest = { name: 'lab-leaf', version: packageVersion, dist };
  writeFileSync(join(folder, 'lab-leaf'), JSON.stringify({ name: 'lab-leaf', 'dist-tags': { latest: packageVersion }, versions: { [packageVersion]: manifest } }));
}
