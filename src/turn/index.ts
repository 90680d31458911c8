// The TURN protocols of the gateway: MS-TURN, libjingle's ssltcp, standard TURN. Each is the relay with two taps; bytes pass
// unmodified, because MESSAGE-INTEGRITY covers addresses, realm, nonce and sequence numbers.

import type { Deps, Flow, Protocol } from '../core/flow.ts';
import { relay } from '../core/relay.ts';
import { detectMsTurn, detectSsltcp, detectTurn, startOf } from './detect.ts';
import type { Framing } from './frames.ts';
import { readMsServerHello, readSsltcpServerHello } from './hello.ts';
import { TurnObserver } from './observer.ts';
import { refuseTurn } from './refuse.ts';
import { turnTaps } from './tap.ts';

/** MS-TURN behind pseudo-TLS, bare framed or multiplexed (MS-TURN 2.1). */
export const msTurn: Protocol = {
  detect: detectMsTurn,
  handle: (flow, deps, facts) => relayTurn(flow, deps, facts, 'ms'),
  refuse: (flow, deps, refusal) => refuseTurn(flow, deps, refusal, 'ms'),
};

/** libjingle pseudo-TLS, then STUN, TURN and media behind two bytes of length. */
export const ssltcp: Protocol = {
  detect: detectSsltcp,
  handle: (flow, deps, facts) => relayTurn(flow, deps, facts, 'ssltcp'),
  refuse: (flow, deps, refusal) => refuseTurn(flow, deps, refusal, 'ssltcp'),
};

/** STUN and TURN over TCP (RFC 8656), in TLS or not. */
export const turn: Protocol = {
  detect: detectTurn,
  handle: (flow, deps, facts) => relayTurn(flow, deps, facts, 'rfc'),
  refuse: (flow, deps, refusal) => refuseTurn(flow, deps, refusal, 'rfc'),
};

async function relayTurn(flow: Flow, deps: Deps, facts: unknown, framing: Framing): Promise<'done'> {
  const upstream = flow.upstream ?? (await deps.dial(flow));
  // Real-time media: a small packet must not wait for the one before it to be acknowledged.
  flow.client.setNoDelay(true);
  upstream.setNoDelay(true);
  const { limits, policy, meter } = deps;
  const { session } = flow;
  const { hello } = startOf(facts, firstBytes(flow));
  const observer = new TurnObserver(session, limits, meter, () => deps.clock());
  const serverHello = !hello ? null : framing === 'ssltcp' ? readSsltcpServerHello : readMsServerHello;
  const taps = turnTaps({ session, policy, limits, meter, observer, framing, hello, serverHello });
  const ticker = setInterval(() => observer.tick(), limits.turnTickMs).unref();
  try {
    await relay(flow.client, upstream, {
      idleMs: limits.turnIdleMs, halfOpenMs: limits.halfOpenMs, injectBytesMax: limits.injectBytesMax,
      clientTap: taps.client, upstreamTap: taps.upstream,
    });
    return 'done';
  } finally {
    clearInterval(ticker);
    observer.end();
  }
}

/** What detection has put back into the client's stream; it stays there (see listener/peek.ts on `read` with a length). */
function firstBytes({ client }: Flow): Buffer {
  const bytes: unknown = client.readableLength === 0 ? null : client.read(client.readableLength);
  if (!Buffer.isBuffer(bytes)) return Buffer.alloc(0);
  client.unshift(bytes);
  return bytes;
}
