// SIP as the gateway's table of protocols sees it: detect, handle (relay with two taps), refuse. Bytes pass unmodified.

import type { Deps, Flow, Protocol, Refusal } from '../core/flow.ts';
import { relay } from '../core/relay.ts';
import { detectSip } from './detect.ts';
import { ExpiryTimer } from './expiry.ts';
import { SipObserver } from './observer.ts';
import { refuseConnection } from './refuse-connection.ts';
import { SipTap } from './tap.ts';

/** SIP (RFC 3261) and MS-SIP over TCP or opened TLS. `handle` throws FlowError of stages dial, handler and relay. */
export const sip: Protocol = { detect: detectSip, handle, refuse };

async function handle(flow: Flow, deps: Deps): Promise<'done'> {
  const upstream = flow.upstream ?? (await deps.dial(flow));
  const expiry = new ExpiryTimer(deps.clock, (now) => observer.sweep(now));
  const observer = new SipObserver(flow.session, deps.limits, deps.meter, (at) => expiry.arm(at));
  const connection = { flow, deps, observer };
  const { sipIdleMs, halfOpenMs, injectBytesMax } = deps.limits;
  try {
    const taps = { clientTap: new SipTap(connection, 'client'), upstreamTap: new SipTap(connection, 'upstream') };
    await relay(flow.client, upstream, { idleMs: sipIdleMs, halfOpenMs, injectBytesMax, ...taps });
    return 'done';
  } finally {
    expiry.stop();
    observer.close();
  }
}

async function refuse(flow: Flow, deps: Deps, refusal: Refusal): Promise<void> {
  await refuseConnection(flow, deps, refusal);
}
