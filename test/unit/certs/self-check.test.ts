import { createServer } from 'node:http';
import type { RequestListener } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { buildCrl } from '../../../src/certs/crl.ts';
import { checkDistributionPoints, crlProblem } from '../../../src/certs/self-check.ts';
import { makeIssuer } from './helpers.ts';

const hour = 3_600_000;
const content = { number: 1, thisUpdate: Date.now() - hour, nextUpdate: Date.now() + hour, nextPublish: Date.now(), revoked: [] };

async function serve(handler: RequestListener): Promise<string> {
  const server = createServer(handler).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/x.crl`;
}

describe('checkDistributionPoints', () => {
  it('is silent where a client gets its list', async () => {
    const issuer = await makeIssuer();
    const url = await serve((_request, response) => response.end(buildCrl(issuer, content)));
    expect(await checkDistributionPoints([{ issuer, addresses: { crl: [url], ocsp: [], caIssuers: [] }, leafKey: 'auto' }], 2000)).toEqual([]);
  });

  it('has a line for each that fails: not there, wrong answer, silence', async () => {
    const issuer = await makeIssuer();
    const urls = ['http://127.0.0.1:9/x.crl', await serve((_request, response) => response.writeHead(404).end()), await serve((_request, response) => response.end('<html>')), await serve(() => undefined)];
    const lines = await checkDistributionPoints([{ issuer, addresses: { crl: urls, ocsp: [], caIssuers: [] }, leafKey: 'auto' }], 300);
    expect(lines).toHaveLength(4);
    for (const [at, words] of ['cannot be fetched', 'status 404', 'not a CRL', 'cannot be fetched'].entries()) {
      expect(lines[at]?.text).toContain(words);
      expect(lines[at]?.text).toContain(urls[at]);
      expect(lines[at]?.url).toBe(urls[at]);
    }
  });
});

it('crlProblem tells the wrong issuer and the wrong time', async () => {
  const [issuer, other] = [await makeIssuer(), await makeIssuer()];
  expect(crlProblem(buildCrl(issuer, content), issuer)).toBeNull();
  expect(crlProblem(buildCrl(other, content), issuer)).toMatch(/another issuer/);
  expect(crlProblem(buildCrl(issuer, content), issuer, Date.now() + 2 * hour)).toMatch(/ran out/);
  expect(crlProblem(buildCrl(issuer, content), issuer, Date.now() - 2 * hour)).toMatch(/future/);
});
