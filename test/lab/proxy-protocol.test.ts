// HAProxy in front of the gateway with send-proxy and send-proxy-v2: the client's address, and for a transparent service the destination,
// are those that HAProxy saw; from anyone else a header is not looked for.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { curlWith } from './support/explicit.ts';
import { address, network } from './support/names.ts';
import { greeting, startNginx } from './support/peers/nginx.ts';
import { gatewayFor, labFile } from './support/suite.ts';

/** The balancer's own address on the way to the gateway, and a client of it. */
const [, client, balancer] = network.clients;
/** The balancer stands in for these servers: it listens on their addresses, in the clients' network. */
const ways = [['tls12', 'send-proxy-v2', 8444], ['tls13', 'send-proxy', 8444], ['https', 'send-proxy-v2-ssl', 8444]] as const;

labFile('PROXY protocol', async ({ lab, certificates }) => {
  await startNginx(lab.server, certificates);
  await lab.client.mustRun(['sh', '-c', ['tls12', 'tls13', 'https', 'plain'].map((name) => `ip address add ${address(name as 'tls12').v4}/32 dev lo`).join('; ')]);
  const configFile = join(lab.client.folder, 'haproxy.cfg');
  const front = (name: 'tls12' | 'tls13' | 'https' | 'plain', port: number, how: string, to: number): string => `
listen ${name}
  bind ${address(name).v4}:${port}
  source ${balancer ?? ''}
  server gateway ${network.gatewayToClient.v4}:${to} ${how}`;
  writeFileSync(configFile, `
global
  maxconn 100
defaults
  mode tcp
  timeout connect 5s
  timeout client 30s
  timeout server 30s
${ways.map(([name, how, to]) => front(name, 443, how, to)).join('\n')}
${front('plain', 3130, 'send-proxy-v2', 3130)}
`);
  await lab.client.spawn('haproxy', ['haproxy', '-db', '-f', configFile], { listens: ways.map(([name]) => `${address(name).v4}:443`) });
}, (file) => {
  const at = gatewayFor(file, {
    mode: 'redirect',
    services: [
      { name: 'balanced', type: 'ssl', listen: '0.0.0.0:8444', acquire: 'redirect', proxyProtocol: [`${balancer ?? ''}/32`], intercept: { ports: [9], interfaces: 'lan' } },
      { name: 'proxy', type: 'http-explicit', listen: '0.0.0.0:3130', proxyProtocol: [balancer ?? ''] },
    ],
  });
  const gateway = (port: number): string => `${network.gatewayToClient.v4}:${port}`;

  it.each(ways)('%s through %s', async (name, _how) => {
    const ask = () => curlWith(file.lab.client, ['--interface', client ?? '', '--cacert', at.gateway.caFile, '-4', `https://${address(name).name}/`]);
    const { result, sessions } = await at.gateway.during(ask);
    expect([result.code, result.stdout, result.stderr]).toEqual([0, greeting(name), '']);
    expect(sessions).toMatchObject([{ service: 'balanced', action: 'intercept', client: { ip: client }, destination: { ip: address(name).v4, port: 443 }, error: null }]);
  });

  it('an explicit proxy behind the balancer knows its client', async () => {
    const { result, sessions } = await at.gateway.during(() => curlWith(file.lab.client, ['--interface', client ?? '', '-x', `http://${address('plain').v4}:3130`, `http://${address('plain').name}/`]));
    expect([result.code, result.stdout]).toEqual([0, greeting('plain')]);
    expect(sessions).toMatchObject([{ service: 'proxy', client: { ip: client }, protocol: 'http' }]);
  });

  describe('without the header', () => {
    it('a listed sender is refused', async () => {
      const { result, sessions } = await at.gateway.during(() => curlWith(file.lab.client, ['--interface', balancer ?? '', '-x', `http://${gateway(3130)}`, `http://${address('plain').name}/`]));
      expect(result.code).not.toBe(0);
      expect(sessions).toMatchObject([{ error: 'PROXY_HEADER_MALFORMED', client: { ip: balancer } }]);
    });

    it('anyone else is served, and a header of theirs is not believed', async () => {
      const ask = (more: readonly string[]) => curlWith(file.lab.client, ['--interface', client ?? '', ...more]);
      const { result, sessions } = await at.gateway.during(() => ask(['-x', `http://${gateway(3130)}`, `http://${address('plain').name}/`]));
      expect(result.stdout).toBe(greeting('plain'));
      expect(sessions).toMatchObject([{ client: { ip: client }, error: null }]);
      const forged = await at.gateway.during(() => ask(['--haproxy-protocol', '-w', '%{http_code}', `http://${gateway(3130)}/`]));
      expect(forged.sessions).toMatchObject([{ client: { ip: client }, error: expect.stringMatching(/^(NOT_HTTP|HTTP_MALFORMED)$/) }]);
    });
  });
});
