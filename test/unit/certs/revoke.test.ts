import { expect, it } from 'vitest';
import { openIssuedRecord } from '../../../src/certs/issued.ts';
import { openLedger } from '../../../src/certs/ledger.ts';
import { revoke } from '../../../src/certs/revoke.ts';
import type { RevokeParts } from '../../../src/certs/revoke.ts';
import { limitsWith } from '../../../src/core/limits.ts';
import { makeIssuer, stateOf, temporaryFolder } from './helpers.ts';

const day = 86_400_000;
const now = 1_800_000_000_000;

async function parts(): Promise<RevokeParts> {
  const state = stateOf(await temporaryFolder());
  const issued = openIssuedRecord(state, limitsWith(), () => undefined);
  for (const serial of ['4a01', '4a02']) issued.note({ serial, issuer: 'aa', identity: `i${serial}`, host: 'a.example', names: ['a.example'], upstream: null, at: now, notAfter: now + day });
  issued.flush();
  return { issuers: [await makeIssuer(), await makeIssuer()], ledger: openLedger(state, 100), issued, leafDaysMax: 90, now };
}

it('revokes by serial, and all leaves of a host', async () => {
  const given = await parts();
  expect(revoke({ target: '4A:02', keep: true, reason: 1 }, given)).toEqual(['4a02']);
  expect(given.ledger.find('aa', '4a02')).toEqual({ serial: '4a02', issuer: 'aa', identity: 'i4a02', at: now, until: now + 3 * day, reason: 1, keep: true });
  expect(revoke({ target: 'a.example', keep: false, reason: 0 }, given)).toEqual(['4a02', '4a01']);
  expect(given.ledger.find('aa', '4a02')?.keep).toBe(false);
});

it('knows serials of its issuers that the record has lost', async () => {
  const given = await parts();
  const serial = given.issuers[1]?.newSerial().toString('hex') ?? '';
  expect(revoke({ target: serial, keep: false, reason: 0 }, given)).toEqual([serial]);
  expect(given.ledger.find(given.issuers[1]?.keyIdHex ?? '', serial)).toMatchObject({ until: now + 92 * day, identity: null });
});

it('revokes nothing for what it does not know', async () => {
  const given = await parts();
  for (const target of ['', 'b.example', '4a03', 'ff'.repeat(16), 'zz'.repeat(16)]) expect(revoke({ target, keep: false, reason: 0 }, given)).toEqual([]);
});
