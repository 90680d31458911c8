// What one decision is judged by: the session and what its stage adds. One object serves all decisions of a policy; addresses
// and names are read only when a rule asks, and remembered while the same session is judged again.

import { Address, parseAddress } from '../core/addresses.ts';
import type { CertificateProblem } from '../core/certificates.ts';
import type { AddressMatch, Session } from '../core/session.ts';
import type { HttpFacts, SipFacts, TurnFacts } from '../core/verdicts.ts';
import type { ProtocolName } from '../core/protocols.ts';
import type { TlsState } from './rules.ts';
import { comparablePath, foldHost, hostOfAuthority } from './text.ts';
import { minuteOfWeek } from './time.ts';

/** Facts of the decision at hand. Valid until the next `begin`; decisions are synchronous and never overlap. */
export class Facts {
  session: Session = nobody;
  problems: readonly CertificateProblem[] = [];
  protocol: ProtocolName = 'pending';
  tls: TlsState = 'none';
  http: HttpFacts | null = null;
  sip: SipFacts | null = null;
  turn: TurnFacts | null = null;

  readonly #client = new RememberedAddress();
  readonly #destination = new RememberedAddress();
  readonly #peer = new RememberedAddress();
  #sniRaw: string | null = null;
  #sni = '';
  #hostRaw: string | null = null;
  #host = '';
  #pathRaw = '';
  #path = '';
  #minuteTimeMs = Number.NaN;
  #minute = 0;

  /** Starts a decision of a stage without facts of its own. */
  begin(session: Session): this {
    this.session = session;
    this.protocol = session.protocol;
    this.http = null;
    this.sip = null;
    this.turn = null;
    return this;
  }

  get client(): Address {
    return this.#client.of(this.session.client.ip);
  }

  /** Family 0 when the destination is known by name only. */
  get destination(): Address {
    return this.#destination.of(this.session.destination.ip ?? '');
  }

  get peer(): Address {
    return this.#peer.of(addressPart(this.turn?.peer ?? ''));
  }

  /** The ClientHello's name, folded; null when there is none. */
  get sni(): string | null {
    const { sni } = this.session;
    if (sni === null) return null;
    if (sni !== this.#sniRaw) {
      this.#sniRaw = sni;
      this.#sni = foldHost(sni);
    }
    return this.#sni;
  }

  /** The destination's host as asked for, folded; null for transparent flows. */
  get destinationHost(): string | null {
    const { host } = this.session.destination;
    return host === null ? null : this.#folded(host);
  }

  /** The name asked for: SNI, else destination host. */
  get name(): string | null {
    return this.sni ?? this.destinationHost;
  }

  /** The HTTP request's host, folded and without port; null when there is none. */
  get requestHost(): string | null {
    const host = this.http?.host ?? null;
    return host === null ? null : hostOfAuthority(host);
  }

  /** How the name claimed relates to the destination; null when none is claimed, or nobody looked. */
  get address(): AddressMatch | null {
    const { claim } = this.session;
    const asked = this.requestHost;
    if (asked === null) return claim?.address ?? null;
    // What an explicit client asks for is what is dialled.
    if (asked === this.destinationHost) return 'named';
    if (claim === undefined || claim === null) return claim === null ? 'unresolved' : null;
    return foldHost(claim.name) === asked ? claim.address : 'other';
  }

  /** The HTTP request's path as rules see it. */
  get path(): string {
    const raw = this.http?.path ?? '';
    if (raw !== this.#pathRaw) {
      this.#pathRaw = raw;
      this.#path = comparablePath(raw);
    }
    return this.#path;
  }

  /** The minute of the week at which the session began, local time. */
  get minute(): number {
    const { startedAt } = this.session;
    if (startedAt !== this.#minuteTimeMs) {
      this.#minuteTimeMs = startedAt;
      this.#minute = minuteOfWeek(startedAt);
    }
    return this.#minute;
  }

  #folded(host: string): string {
    if (host !== this.#hostRaw) {
      this.#hostRaw = host;
      this.#host = foldHost(host);
    }
    return this.#host;
  }
}

/** Parses an address once for as long as the same text is asked for. */
class RememberedAddress {
  #text = '';
  readonly #address = new Address();

  of(text: string): Address {
    if (text !== this.#text) {
      this.#text = text;
      parseAddress(text, this.#address);
    }
    return this.#address;
  }
}

/** The address of `ip`, `ip:port` or `[ip]:port`. */
function addressPart(peer: string): string {
  if (peer.startsWith('[')) return peer.slice(1, Math.max(1, peer.indexOf(']')));
  const colon = peer.indexOf(':');
  return colon !== -1 && colon === peer.lastIndexOf(':') ? peer.slice(0, colon) : peer;
}

/** A session of which nothing is known; matches no address and no name. */
export const nobody: Session = {
  id: '', service: '', client: { ip: '', port: 0 }, destination: { ip: null, port: 0, host: null }, startedAt: 0, endedAt: null, state: 'active',
  sni: null, alpn: [], ja3: null, ja4: null, user: null, protocol: 'pending', chain: [], action: null, tunnelledOnError: null, rule: null,
  error: null, errorDetail: null, note: null, bytes: { fromClient: 0, toClient: 0, fromUpstream: 0, toUpstream: 0 },
  tls: { client: null, upstream: null, leaf: null }, details: {},
};
