// A suite during which many idle SIP registrations are held by keep-alives alone: its tests run meanwhile, and its last ones wait for the
// end of the holding and look at what became of it.

import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Session } from '../../../src/core/session.ts';
import type { Gateway } from './gateway.ts';
import { address } from './names.ts';
import { Holders } from './peers/holders.ts';
import type { LabFile } from './suite.ts';

export interface Hold {
  readonly count: number;
  readonly holdMs: number;
  readonly pingMs: number;
}

const [kept, silent] = ['held', 'silent'];

/**
 * Declares `meanwhile`'s tests and the two of the holding, in that order; call it in the suite of the gateway, behind `gatewayFor`. The gateway's
 * `sipIdleMs` must lie between the two times, so that it is the keep-alives that hold.
 */
export function whileHeld(file: LabFile, at: { readonly gateway: Gateway }, hold: Hold, meanwhile: () => void): void {
  const { count, holdMs, pingMs } = hold;
  let holders: Holders | null = null;
  let mute: Holders | null = null;
  const sessionsOf = async (user: string): Promise<Session[]> => {
    const { sessions } = await at.gateway.page(`destination=${address('sip').v4}`, { limit: '1000' });
    return sessions.filter(({ details }) => details.sip?.registrations.some(({ aor }) => aor.startsWith(`sip:${user}`)) === true);
  };
  beforeAll(async () => {
    const { caFile } = at.gateway;
    holders = await Holders.start(file.lab.client, { caFile, user: kept, count, pingMs, holdMs });
    mute = await Holders.start(file.lab.client, { caFile, user: silent, count: 1, pingMs: 0, holdMs });
  });
  afterAll(async () => {
    await holders?.stop();
    await mute?.stop();
  });

  meanwhile();

  it(`${count} idle registrations are held for ${holdMs / 1000} seconds by keep-alives`, async () => {
    const report = await present(holders).report();
    expect(report).toMatchObject({ registered: count, alive: count });
    expect(report.pings).toBeGreaterThanOrEqual(count * Math.floor(holdMs / pingMs / 2));
    // Kamailio answers each ping, and the last answer may be on its way when the client asks its last question.
    expect(report.pongs).toBeGreaterThanOrEqual(report.pings - count);
    await expect.poll(async () => (await sessionsOf(kept)).map(({ state }) => state), { timeout: 20_000 }).toEqual(Array<string>(count).fill('closed'));
    const sessions = await sessionsOf(kept);
    for (const session of sessions) {
      expect(session).toMatchObject({ protocol: 'sips', error: null, details: { sip: { registrations: [{ state: 'registered', expiresSeconds: 600 }], methods: { OPTIONS: 1 }, opaque: null } } });
      expect(session.endedAt ?? 0).toBeGreaterThanOrEqual(session.startedAt + holdMs);
    }
    expect(sessions.reduce((total, { details }) => total + (details.sip?.keepAlives ?? 0), 0)).toBe(report.pings);
    expect(await at.gateway.metric('sip_registrations')).toBe(0);
  }, holdMs + 120_000);

  it('one that was silent was ended by the idle limit: keep-alives were what held the others', async () => {
    expect(await present(mute).report()).toMatchObject({ registered: 1, alive: 0 });
    expect(await sessionsOf(silent)).toMatchObject([{ state: 'errored', error: 'IDLE_TIMEOUT' }]);
  }, holdMs + 120_000);
}

function present<T>(value: T | null): T {
  if (value === null) throw new Error('the holding did not begin');
  return value;
}
