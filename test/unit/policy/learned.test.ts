import { beforeEach, describe, expect, it } from 'vitest';
import type { Session } from '../../../src/core/session.ts';
import { isEvidence, LearnedBook, learnedKey, learnedPlace, LearnedView } from '../../../src/policy/learned.ts';
import { policyOf, sessionWith } from './support.ts';

const minute = 60_000;
const settings = { failures: 3, withinMs: 10 * minute, ttlMs: 60 * minute, entriesMax: 5 };
const place = { client: '10.0.0.1', name: 'www.example', ja4: 't13d' };
const key = learnedKey(place);
let nowMs = 0;
let told: [string, number | null][] = [];
let book: LearnedBook;
const fresh = (): LearnedBook => new LearnedBook(() => settings, () => nowMs, (which, until) => told.push([which, until]));

beforeEach(() => {
  nowMs = 1_000_000_000;
  told = [];
  book = fresh();
});

describe('evidence', () => {
  it('makes a bypass with the configured number of refusals, and no earlier', () => {
    book.refused(place);
    book.refused(place);
    expect([book.until(key), book.list()]).toEqual([0, []]);
    book.refused(place);
    expect(book.until(key)).toBe(nowMs + settings.ttlMs);
    expect(book.list()).toEqual([{ key, ...place, refusals: 3, since: nowMs, until: nowMs + settings.ttlMs }]);
    expect(told.at(-1)).toEqual([key, nowMs + settings.ttlMs]);
  });

  it('counts only within the window', () => {
    book.refused(place);
    nowMs += settings.withinMs;
    book.refused(place);
    book.refused(place);
    expect(book.size).toBe(0);
    book.refused(place);
    expect(book.size).toBe(1);
  });

  it('is of one client, one name and one hello', () => {
    for (const other of [{ client: '10.0.0.2' }, { name: 'other.example' }, { ja4: 't12d' }]) book.refused({ ...place, ...other });
    book.refused(place);
    book.refused(place);
    expect(book.size).toBe(0);
  });

  it('is wiped out by a success', () => {
    book.refused(place);
    book.refused(place);
    book.accepted(place);
    book.refused(place);
    book.refused(place);
    expect(book.size).toBe(0);
  });

  it('is bounded, the oldest goes first', () => {
    for (let index = 0; index < 100; index += 1) book.refused({ ...place, name: `n${index}.example` });
    expect(book.snapshot()).toHaveLength(settings.entriesMax);
    expect(book.snapshot().at(-1)?.[0]).toContain('n99.example');
  });
});

describe('bypasses', () => {
  const learn = (name = place.name): void => { for (let index = 0; index < settings.failures; index += 1) book.refused({ ...place, name }); };

  it('end after their time, and then evidence is needed anew', () => {
    learn();
    nowMs += settings.ttlMs;
    expect(book.list()).toEqual([]);
    book.refused(place);
    book.refused(place);
    book.sweep();
    expect(book.size).toBe(0);
    expect(told).toContainEqual([key, null]);
  });

  it('are forgotten one by one or all together', () => {
    learn();
    learn('two.example');
    expect(book.forget('nobody')).toBe(0);
    expect(book.forget(key)).toBe(1);
    expect(book.list().map(({ name }) => name)).toEqual(['two.example']);
    expect(book.forget(null)).toBe(1);
    expect(book.snapshot()).toEqual([]);
  });

  it('are bounded', () => {
    for (let index = 0; index < 20; index += 1) learn(`n${index}.example`);
    expect(book.size).toBe(settings.entriesMax);
    expect(book.list()[0]?.name).toBe('n19.example');
  });

  it('survive a restart for the time they have left, and nothing else is believed', () => {
    learn();
    const saved: unknown = JSON.parse(JSON.stringify([...book.list(), { ...place, name: 'old.example', refusals: 3, since: 0, until: nowMs - 1 }, { name: 1 }, null, { ...place, name: 'far.example', refusals: 3, since: 0, until: nowMs + 2 * settings.ttlMs }]));
    const next = fresh();
    next.restore(saved);
    next.restore('nonsense');
    expect(next.list()).toEqual(book.list());
  });

  it('sweeping drops evidence whose window is over', () => {
    book.refused(place);
    nowMs += settings.withinMs;
    book.sweep();
    expect(book.snapshot()).toEqual([]);
  });
});

const side = { version: 'TLSv1.3', cipher: 'x', alpn: null };
const shown = (problems: ('expired')[] = []): Session => sessionWith({
  sni: 'WWW.example', ja4: 't13d', client: { ip: '10.0.0.1', port: 1 },
  tls: { client: side, upstream: { ...side, name: 'verified', problems }, leaf: { serial: '1', key: 'ec', mirrored: true } },
});

describe('which sessions count', () => {
  it('a refused certificate and a silent leave', () => {
    expect(isEvidence(shown(), 'CLIENT_REJECTED_CERT')).toBe(true);
    expect(isEvidence(shown(), 'CLIENT_LEFT_SILENTLY')).toBe(true);
  });

  it.each(['RESET_BY_CLIENT', 'RESET_BY_UPSTREAM', 'CLIENT_TLS_ALERT', 'CLIENT_TLS_TIMEOUT', 'UPSTREAM_TLS_ALERT', 'DIAL_REFUSED', 'IDLE_TIMEOUT', 'NO_COMMON_TLS'] as const)('never %s', (code) => {
    expect(isEvidence(shown(), code)).toBe(false);
  });

  it('never where the server\'s certificate was bad, or none of ours was shown', () => {
    expect(isEvidence(shown(['expired']), 'CLIENT_REJECTED_CERT')).toBe(false);
    expect(isEvidence(sessionWith(), 'CLIENT_REJECTED_CERT')).toBe(false);
  });

  it('a name is the SNI, else the host, else the address', () => {
    expect(learnedPlace(shown())).toMatchObject({ name: 'www.example' });
    expect(learnedPlace(sessionWith({ destination: { ip: '1.2.3.4', port: 1, host: 'h.example' } }))).toMatchObject({ name: 'h.example' });
    expect(learnedPlace(sessionWith())).toMatchObject({ name: '203.0.113.9' });
    expect(learnedPlace(sessionWith({ destination: { ip: null, port: 0, host: null } }))).toBeNull();
  });
});

describe('a view', () => {
  it('bypasses what the book says, until it ends, and tells only what matters', () => {
    const asked: string[] = [];
    const view = new LearnedView(() => nowMs, (what) => asked.push(what));
    view.accepted(shown());
    expect([view.bypass(shown()), asked]).toEqual([null, []]);
    view.refused(shown(), 'CLIENT_LEFT_SILENTLY');
    view.changed(key, 0);
    view.accepted(shown());
    expect(asked).toEqual(['refused', 'accepted']);
    view.changed(key, nowMs + 10);
    expect(view.bypass(shown())).toBe('learned/www.example');
    expect(view.bypass(sessionWith({ sni: 'other.example' }))).toBeNull();
    view.accepted(shown());
    expect(asked).toHaveLength(2);
    nowMs += 10;
    expect(view.bypass(shown())).toBeNull();
    nowMs -= 10;
    view.changed(key, null);
    expect(view.bypass(shown())).toBeNull();
  });
});

it('a rule forbids it', () => {
  expect(policyOf({ ssl: [{ then: 'intercept', learned: false }] }).ssl(sessionWith()).learned).toBe(false);
  expect(policyOf({ ssl: [{ then: 'intercept' }] }).ssl(sessionWith()).learned).toBeUndefined();
});
