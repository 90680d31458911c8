// A process that keeps changing everything the state database holds, by the product's own code, and says what is done: killed by
// state.test.ts at any moment.

import { openAuthority } from '../../../src/certs/authority.ts';
import { openCrlStore } from '../../../src/certs/crl-store.ts';
import { openIssuedRecord } from '../../../src/certs/issued.ts';
import { openLedger } from '../../../src/certs/ledger.ts';
import { builtinConfig } from '../../../src/config/builtin.ts';
import { startCheckpoints } from '../../../src/core/checkpoints.ts';
import { limitsWith } from '../../../src/core/limits.ts';
import { silentLogger } from '../../../src/core/log.ts';
import { noMeter } from '../../../src/core/meters.ts';
import { openState } from '../../../src/core/state.ts';
import { openLearned } from '../../../src/learned.ts';
import { SessionHistory } from '../../../src/sessions/history.ts';
import { SessionTable } from '../../../src/sessions/table.ts';

const [folder = '', ca = ''] = process.argv.slice(2);
const limits = limitsWith({ stateSaveMs: 10, stateSaveMax: 50, sessionsClosedMax: 500, issuedMax: 500, stateCheckpointMs: 100 });
const log = silentLogger;
const say = (what: string, value: string | number): void => void process.stdout.write(`${what} ${value}\n`);

const issuer = await openAuthority({ name: 'default', certFile: `${ca}.pem`, keyFile: `${ca}.key`, passphrase: null, now: Date.now(), create: { key: 'ec', label: 'Test CA', permitted: [] } });
const state = openState(folder, { durable: true, limits });
const ledger = openLedger(state, limits.revokedMax);
// Numbers may only rise by one here: each that is lost or spent twice shows.
const crls = openCrlStore({ state, issuers: [issuer], days: 30, primary: true, ledger, meter: noMeter, log, clock: () => 1_000_000 });
const issued = openIssuedRecord(openState(folder, { durable: false, limits }), limits, () => undefined);
const history = new SessionHistory({ folder, worker: 'w0', limits, log });
startCheckpoints(folder, limits, log);
const table = new SessionTable({ worker: 'w0', limits, meter: noMeter, history });
const learned = openLearned({ config: { ...builtinConfig({ root: false }), state: folder, limits, learned: { enabled: true, failures: 1, within: 1_000, ttl: 1e9 } }, meter: noMeter, log, clock: Date.now });

say('number', crls.current(issuer)?.number ?? -1);
say('ready', process.pid);
for (let round = 0; ; round += 1) {
  const serial = issuer.newSerial().toString('hex');
  ledger.revoke([{ serial, issuer: issuer.keyIdHex, at: 1, until: 1e12, reason: 0, keep: false, identity: null }]);
  say('revoked', serial);
  crls.refresh(true);
  say('number', crls.current(issuer)?.number ?? -1);
  issued.note({ serial, issuer: issuer.keyIdHex, identity: 'i', host: `${serial}.test`, names: [], upstream: null, at: 1, notAfter: 1e12 });
  learned.tell('refused', { client: '10.0.0.1', name: `${serial}.test`, ja4: null });
  for (let count = 0; count < 20; count += 1) {
    const session = table.open({ service: 'https', client: { ip: '10.0.0.1', port: 1 }, destination: { ip: '10.0.0.2', port: 443, host: null } }, { bytes: () => ({ fromClient: 1, toClient: 1, fromUpstream: 1, toUpstream: 1 }), kill() {} });
    table.close(session, null);
  }
  await new Promise((resolve) => setTimeout(resolve, round % 3));
}
