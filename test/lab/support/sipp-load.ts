// SIPp's load as one test: calls at a rate for a time over one TLS connection, none of which may fail, and every message counted by the
// observer as SIPp counts it.

import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Program } from '../../support/program.ts';
import type { Gateway } from './gateway.ts';
import { address } from './names.ts';
import { runSippCalls, sippCounts, startSippTunnel, successfulCalls } from './peers/sipp.ts';
import type { LabFile } from './suite.ts';

/** Declares the test and the tunnel that it needs; call it in the suite of the gateway, behind `gatewayFor`. */
export function sippLoad(file: LabFile, at: { readonly gateway: Gateway }, { callsPerSecond, seconds }: { readonly callsPerSecond: number; readonly seconds: number }): void {
  let tunnel: Program | null = null;
  beforeAll(async () => {
    tunnel = await startSippTunnel(file.lab.client, at.gateway.caFile);
  });
  afterAll(async () => {
    await tunnel?.stop();
  });

  it(`SIPp makes ${callsPerSecond} calls a second for ${seconds} seconds: none fails, and the observer counts what SIPp counts`, async () => {
    const calls = callsPerSecond * seconds;
    const { v4, v6 } = address('sipp');
    const counted = (name: string): Promise<number> => at.gateway.metric('sip_messages_total', { protocol: 'sips', kind: 'request', name });
    const before = { INVITE: await counted('INVITE'), ACK: await counted('ACK'), BYE: await counted('BYE') };
    const { result, sessions } = await at.gateway.during(() => runSippCalls(file.lab.client, calls, { rate: callsPerSecond, atATime: 2 * callsPerSecond }), { filter: `destination=${v4},${v6}` });
    expect([result.code, successfulCalls(result)]).toEqual([0, calls]);
    const { methods, statuses } = sippCounts(result);
    expect(methods).toEqual({ INVITE: calls, ACK: calls, BYE: calls });
    expect(sessions).toMatchObject([{ protocol: 'sips', error: null, details: { sip: { methods, statuses, opaque: null } } }]);
    for (const [name, count] of Object.entries(before)) expect(await counted(name)).toBe(count + calls);
    expect(await at.gateway.metric('sip_dialogs')).toBe(0);
  }, (seconds + 120) * 1000);
}
