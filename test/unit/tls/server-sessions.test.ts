import { X509Certificate } from 'node:crypto';
import { expect, test } from 'vitest';
import { limitsWith } from '../../../src/core/limits.ts';
import { ServerSessions, sessionKey } from '../../../src/tls/server-sessions.ts';
import { issueServer, makeRoot } from '../../support/certs.ts';

const root = makeRoot('Root');
const shownBy = (): { certificate: X509Certificate; chainError: null } => ({ certificate: new X509Certificate(issueServer(root, { names: ['a.example'] }).der), chainError: null });
const shown = shownBy();
const ticket = (text: string): Buffer => Buffer.from(text);
let nowMs = 1_000;

function store(overrides: Parameters<typeof limitsWith>[0] = {}, lastMs = Number.POSITIVE_INFINITY): ServerSessions {
  nowMs = 1_000;
  return new ServerSessions(limitsWith(overrides), () => nowMs, () => lastMs);
}

/** A full handshake under a key that gave `tickets`. */
function full(sessions: ServerSessions, key: string, tickets: readonly string[], singleUse = true, by = shown): void {
  const attempt = sessions.begin(key);
  attempt.proven(by, singleUse);
  for (const text of tickets) attempt.arrived(ticket(text));
}

const offered = (sessions: ServerSessions, key = 'a'): string | null => sessions.begin(key).session?.toString() ?? null;

test('TLS 1.3 tickets are used once, the newest first; a TLS 1.2 session again and again, the newest alone', () => {
  const sessions = store();
  full(sessions, 'a', ['1', '2']);
  expect([offered(sessions), offered(sessions), offered(sessions)]).toEqual(['2', '1', null]);
  full(sessions, 'a', ['1', '2'], false);
  expect([offered(sessions), offered(sessions)]).toEqual(['2', '2']);
});

test('a kept session has memory of its own, of which none is left once a ticket was offered', () => {
  const sessions = store();
  full(sessions, 'a', ['1', '2']);
  const first = sessions.begin('a');
  expect([first.session?.toString(), first.session?.buffer.byteLength]).toEqual(['2', 1]);
  first.offered();
  expect(first.session).toHaveLength(0);
  expect(offered(sessions)).toBe('1');
});

test('what comes before the judgement waits for it, and is gone with a refusal, with all that the server gave before', () => {
  const sessions = store();
  const early = sessions.begin('a');
  early.arrived(ticket('early'));
  expect(offered(sessions)).toBeNull();
  early.proven(shown, true);
  expect(offered(sessions)).toBe('early');
  full(sessions, 'a', ['1']);
  const refused = sessions.begin('b');
  refused.arrived(ticket('never'));
  refused.drop();
  refused.arrived(ticket('never'));
  const again = sessions.begin('a');
  expect([again.session?.toString(), again.shown]).toEqual(['1', shown]);
  again.drop();
  full(sessions, 'c', ['1']);
  expect([offered(sessions, 'b'), offered(sessions), offered(sessions, 'c')]).toEqual([null, null, '1']);
});

test('a resumed connection adds tickets but no time: a full handshake is due when it was', () => {
  const sessions = store({ serverSessionMs: 1_000 });
  full(sessions, 'a', ['1']);
  nowMs += 900;
  const resumed = sessions.begin('a');
  resumed.proven(null, true);
  resumed.arrived(ticket('2'));
  nowMs += 99;
  expect(offered(sessions)).toBe('2');
  resumed.arrived(ticket('3'));
  nowMs += 1;
  expect(offered(sessions)).toBeNull();
});

test('another certificate begins anew; tickets of the one before are not added to it', () => {
  const sessions = store();
  const before = sessions.begin('a');
  before.proven(shown, true);
  before.arrived(ticket('old'));
  const other = shownBy();
  full(sessions, 'a', [], true, other);
  before.arrived(ticket('late'));
  expect(offered(sessions)).toBeNull();
  full(sessions, 'a', ['new'], true, other);
  expect(sessions.begin('a')).toMatchObject({ shown: other, session: ticket('new') });
});

test('never beyond the end of a certificate', () => {
  const sessions = store({}, 1_500);
  full(sessions, 'a', ['1', '2']);
  expect(offered(sessions)).toBe('2');
  nowMs = 1_500;
  expect(offered(sessions)).toBeNull();
});

test('bounded in servers, tickets and bytes; 0 keeps nothing', () => {
  const sessions = store({ serverSessionsMax: 2, serverTicketsMax: 2, serverSessionBytesMax: 512 });
  full(sessions, 'a', ['1', '2', '3', 'x'.repeat(513)]);
  expect([offered(sessions), offered(sessions), offered(sessions)]).toEqual(['3', '2', null]);
  for (const key of ['a', 'b', 'c']) full(sessions, key, ['1']);
  expect([sessions.size, offered(sessions, 'a'), offered(sessions, 'b'), offered(sessions, 'c')]).toEqual([2, null, '1', '1']);
  for (const off of [{ serverSessionsMax: 0 }, { serverSessionMs: 0 }]) {
    const none = store(off);
    full(none, 'a', ['1']);
    expect([none.size, offered(none)]).toEqual([0, null]);
  }
});

test('a server that takes nothing of what it was offered is offered nothing until its time is up', () => {
  const sessions = store({ serverSessionMs: 1_000 });
  const outcomes: (string | null)[] = [];
  for (let count = 0; count < 5; count += 1) {
    const attempt = sessions.begin('a');
    outcomes.push(attempt.session?.toString() ?? null);
    attempt.proven(shown, true);
    attempt.arrived(ticket(String(count)));
  }
  expect(outcomes).toEqual([null, '0', '1', '2', null]);
  nowMs += 1_000;
  full(sessions, 'a', ['later']);
  const stumbling = sessions.begin('a');
  expect(stumbling.session?.toString()).toBe('later');
  stumbling.stumbled();
  full(sessions, 'a', ['never']);
  expect(offered(sessions)).toBeNull();
});

test('one refusal between two resumptions counts for little', () => {
  const sessions = store();
  full(sessions, 'a', ['1']);
  for (let count = 0; count < 10; count += 1) {
    const attempt = sessions.begin('a');
    expect(attempt.session).not.toBeNull();
    attempt.proven(count % 3 === 2 ? null : shown, true);
    attempt.arrived(ticket('more'));
  }
});

test('a ticket that was offered is let go of; a session that is offered again is kept', () => {
  const own = (text: string): Buffer => Buffer.from(new TextEncoder().encode(text).buffer);
  const sessions = store();
  for (const singleUse of [true, false]) {
    const first = sessions.begin('a');
    first.proven(shown, singleUse);
    first.arrived(own('session'));
    const second = sessions.begin('a');
    expect(second.session?.toString()).toBe('session');
    second.offered();
    expect(second.session?.length).toBe(singleUse ? 0 : 7);
  }
});

test('a key is short whatever a client offers, and tells lists apart that read alike', () => {
  const long = sessionKey([Array.from({ length: 60_000 / 256 }, () => 'x'.repeat(255))]);
  expect(long.length).toBeLessThan(64);
  const keys = [['a,b'], ['a', 'b'], ['a\nb'], ['a'], []].flatMap((alpn) => [sessionKey([alpn, 'c']), sessionKey([alpn, 'c', null]), sessionKey(['c', alpn])]);
  expect(new Set(keys).size).toBe(keys.length);
  expect(sessionKey(['host', 443, ['h2']])).toBe(sessionKey(['host', 443, ['h2']]));
});
