// Facts of this very system, and probes against real local servers.

import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { gatherFacts } from '../../../src/net/doctor-facts.ts';
import type { DoctorFacts, DoctorWants } from '../../../src/net/doctor.ts';
import { netPlan } from '../../../src/net/plan.ts';
import { issueServer, makeRoot } from '../../support/certs.ts';

const folder = mkdtempSync(join(tmpdir(), 'sallyport-doctor-'));
const root = makeRoot('Doctor CA');
const web = createServer((request, response) => {
  if (request.url === '/good.crl') response.end(Buffer.from('3003020101', 'hex'));
  else if (request.url === '/page.crl') response.end('<html>');
  else if (request.url === '/silent.crl') return;
  else response.writeHead(404).end();
});
const names = createSocket('udp4');
let base = '';
let nameServer = '';

beforeAll(async () => {
  web.listen(0, '127.0.0.1');
  await once(web, 'listening');
  const address = web.address();
  base = `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
  // NXDOMAIN to everything: QR, RD, RA, rcode 3.
  names.on('message', (query, from) => {
    const answer = Buffer.from(query);
    answer.writeUInt16BE(0x8183, 2);
    names.send(answer, from.port, from.address);
  });
  names.bind(0, '127.0.0.1');
  await once(names, 'listening');
  nameServer = `127.0.0.1:${names.address().port}`;
});

afterAll(() => {
  web.closeAllConnections();
  web.close();
  names.close();
  rmSync(folder, { recursive: true });
});

function gather(changes: Partial<DoctorWants> = {}): Promise<DoctorFacts> {
  const wants: DoctorWants = { plan: netPlan([]), caFile: join(folder, 'none.pem'), crlUrls: [], dnsServers: [nameServer], stunServer: null, sessionsMax: 1, ...changes };
  return gatherFacts(wants, () => Promise.resolve({ code: 1, stdout: '', stderr: 'Operation not permitted' }), 300);
}

test('the system is read', async () => {
  const facts = await gather();
  expect(facts.forwarding[4]).toEqual(expect.any(Boolean));
  expect(facts.reversePaths.map((path) => path.interface)).toContain('lo');
  for (const path of facts.reversePaths) expect([0, 1, 2]).toContain(path.filter);
  expect(facts.capabilities).toEqual(expect.any(BigInt));
  expect(facts.openFiles?.hard).toBeGreaterThan(0);
  expect(Math.abs(facts.nowMs - Date.now())).toBeLessThan(5000);
  expect(facts.net.fault).toBe('nft: needs root (CAP_NET_ADMIN)');
  expect(facts.stun).toBeNull();
  expect(facts.dnsFault).toBeNull();
});

test('the CA file', async () => {
  const file = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  expect((await gather()).ca).toEqual({ state: 'absent' });
  expect((await gather({ caFile: file('broken.pem', 'hello') })).ca).toMatchObject({ state: 'unreadable' });
  expect((await gather({ caFile: file('ca.pem', root.certPem) })).ca).toMatchObject({ state: 'read', isCa: true });
  expect((await gather({ caFile: file('leaf.pem', issueServer(root).certPem) })).ca).toMatchObject({ state: 'read', isCa: false });
});

test('CRLs: good, missing, no CRL, silent, nobody there', async () => {
  const paths = ['good.crl', 'missing.crl', 'page.crl', 'silent.crl'];
  const { crl } = await gather({ crlUrls: [...paths.map((path) => `${base}/${path}`), 'http://127.0.0.1:1/x.crl'] });
  expect(crl.map(({ fault }) => fault)).toEqual([null, 'status 404', 'the answer is no CRL in DER', 'no answer in time', expect.stringContaining('ECONNREFUSED')]);
});

test('name servers that are silent or not there', async () => {
  const silent = createSocket('udp4');
  silent.bind(0, '127.0.0.1');
  await once(silent, 'listening');
  expect((await gather({ dnsServers: [`127.0.0.1:${silent.address().port}`] })).dnsFault).toBe('no answer in time');
  silent.close();
  expect((await gather({ dnsServers: ['127.0.0.1:1'] })).dnsFault).toContain('ECONNREFUSED');
});

test('UDP that does not come back', async () => {
  expect((await gather({ stunServer: '127.0.0.1:1' })).stun).toEqual({ mapped: null, fault: expect.any(String) });
});
