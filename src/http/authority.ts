// Whether a name asked for on an HTTP/2 connection would have got another verdict than the connection did. A mirrored
// wildcard certificate lets browsers send requests for several hosts over one connection; a host that a rule tunnels or
// denies must not ride on another's interception.

import type { Deps } from '../core/flow.ts';
import type { Session } from '../core/session.ts';
import type { SslVerdict } from '../core/verdicts.ts';
import { hostName } from './judge.ts';

/** Remembers the answers for one connection. */
export class Authorities {
  readonly #session: Session;
  readonly #deps: Deps;
  readonly #own: string | null;
  readonly #known = new Map<string, string | null>();
  #ownVerdict: SslVerdict | null = null;

  constructor(session: Session, deps: Deps) {
    this.#session = session;
    this.#deps = deps;
    this.#own = session.sni === null ? null : hostName(session.sni);
  }

  /** The rule that judges this authority otherwise; null when it may go on. Without SNI there was no name to judge by. */
  judge(authority: string): string | null {
    const host = hostName(authority);
    if (this.#own === null || host === this.#own) return null;
    const known = this.#known.get(host);
    if (known !== undefined) return known;
    this.#ownVerdict ??= this.#deps.policy.ssl(this.#session);
    const verdict = this.#deps.policy.ssl({ ...this.#session, sni: host });
    const same = verdict.action === this.#ownVerdict.action && verdict.handoff === this.#ownVerdict.handoff;
    const answer = same ? null : verdict.rule;
    if (this.#known.size >= this.#deps.limits.http2AuthoritiesMax) this.#known.clear();
    this.#known.set(host, answer);
    return answer;
  }
}
