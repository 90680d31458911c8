import { describe, expect, it } from 'vitest';
import { errorCodes } from '../../../src/core/errors.ts';
import { actions } from '../../../src/core/session.ts';
import type { Session } from '../../../src/core/session.ts';
import { protocolNames, protocolWords } from '../../../src/core/protocols.ts';
import { filterKeys, FilterError, parseFilter } from '../../../src/sessions/filter.ts';
import type { Filter } from '../../../src/sessions/filter.ts';
import { init, live, startMs, testTable } from './support.ts';

function session(overrides: Partial<Session> = {}): Session {
  return { ...testTable().table.open(init(), live()), ...overrides };
}

function filter(source: string | URLSearchParams): Filter {
  const parsed = parseFilter(source);
  if (parsed instanceof FilterError) throw parsed;
  return parsed;
}

function fault(source: string): FilterError {
  const parsed = parseFilter(source);
  if (!(parsed instanceof FilterError)) throw new Error(`${source} was taken`);
  return parsed;
}

const matches = (text: string, one: Session): boolean => filter(text).matches(one, startMs);

describe('protocol filters', () => {
  const all = protocolNames.map((protocol) => session({ protocol }));

  it('every protocol that can be shown has a filter that returns exactly its sessions', () => {
    for (const name of protocolNames) {
      if (name === 'https') continue; // stands for h2 as well: next test
      expect(all.filter((one) => matches(`protocol=${name}`, one)).map((one) => one.protocol)).toEqual([name]);
    }
    expect(all.filter((one) => matches('protocol=https-h1', one)).map((one) => one.protocol)).toEqual(['https']);
  });

  it('groups return the sessions of each of their names and no other', () => {
    for (const [word, names] of protocolWords) {
      expect(all.filter((one) => matches(`protocol=${word}`, one)).map((one) => one.protocol).sort()).toEqual([...names].sort());
    }
    expect(all.filter((one) => matches('protocol=https', one)).map((one) => one.protocol).sort()).toEqual(['h2', 'https']);
  });

  it('lists and repeated keys are any of their words', () => {
    for (const text of ['protocol=sips,ms-turn', 'protocol=sips & protocol=ms-turn', ' protocol = sips , ms-turn ']) {
      expect(all.filter((one) => matches(text, one)).map((one) => one.protocol).sort()).toEqual(['ms-turn', 'sips']);
    }
  });
});

describe('the other filters', () => {
  it('state, action and error take every word of their tables', () => {
    for (const action of actions) {
      expect(matches(`action=${action}`, session({ action }))).toBe(true);
      expect(matches(`action=${action}`, session({ action: null }))).toBe(false);
    }
    for (const error of errorCodes) {
      expect(matches(`error=${error}`, session({ error }))).toBe(true);
      expect(matches(`error=${error}`, session({ tunnelledOnError: error }))).toBe(true);
      expect(matches(`error=${error}`, session())).toBe(false);
    }
    expect(matches('state=active', session())).toBe(true);
    expect(matches('state=closed,errored', session())).toBe(false);
  });

  it('addresses by range, IPv4 and IPv6', () => {
    expect(matches('client=10.0.0.0/8', session())).toBe(true);
    expect(matches('client=192.168.0.0/16,10.1.2.3', session())).toBe(true);
    expect(matches('client=10.2.0.0/16', session())).toBe(false);
    expect(matches('destination=2001:db8::/32', session({ destination: { ip: '2001:db8::9', port: 1, host: null } }))).toBe(true);
    expect(matches('destination=0.0.0.0/0', session({ destination: { ip: null, port: 1, host: 'x' } }))).toBe(false);
  });

  it('names by pattern', () => {
    const one = session({ sni: 'sip.contoso.com', rule: 'ssl/lync', user: 'alice', service: 'https' });
    for (const text of ['sni=*.contoso.com', 'sni=a.example,SIP.contoso.com', 'rule=ssl/*', 'rule=ssl/lync', 'user=alice', 'service=https']) expect(matches(text, one)).toBe(true);
    for (const text of ['sni=contoso.com', 'rule=ssl', 'user=bob', 'service=http']) expect(matches(text, one)).toBe(false);
    expect(matches('sni=*.contoso.com', session())).toBe(false);
  });

  it('since counts back from the time of asking', () => {
    const one = session();
    expect(filter('since=10m').matches(one, startMs + 600_000)).toBe(true);
    expect(filter('since=10m').matches(one, startMs + 600_001)).toBe(false);
    for (const [text, ms] of [['30s', 30_000], ['2h', 7_200_000], ['1d', 86_400_000]] as const) {
      expect(filter(`since=${text}`).matches(one, startMs + ms)).toBe(true);
      expect(filter(`since=${text}`).matches(one, startMs + ms + 1)).toBe(false);
    }
  });

  it('q finds text in names, addresses, rules, errors and details', () => {
    const one = session({
      sni: 'Sip.Contoso.com', rule: 'ssl/lync', error: 'IDLE_TIMEOUT', note: 'nothing known',
      details: {
        sip: { registrations: [{ aor: 'sip:bob@contoso.com', contact: null, userAgent: 'UCCAPI/16', expiresSeconds: 1, state: 'registered', scheme: null, epid: null }], dialogs: [], methods: {}, statuses: {}, keepAlives: 0, opaque: null },
      },
    });
    for (const text of ['contoso', 'CONTOSO', '10.1.2', '192.0.2.7', 'lync', 'idle_', 'bob@', 'uccapi', one.id, 'nothing known']) expect(matches(`q=${text}`, one), text).toBe(true);
    expect(matches('q=carol', one)).toBe(false);
    expect(filter(new URLSearchParams({ q: 'a&b=c, 50% +1' })).matches(session({ user: 'x a&b=c, 50% +1 y' }), startMs)).toBe(true);
  });

  it('different keys must all match', () => {
    const one = session({ protocol: 'sips', action: 'handoff' });
    expect(matches('protocol=sips & action=handoff&state=active', one)).toBe(true);
    expect(matches('protocol=sips & action=deny', one)).toBe(false);
  });

  it('an empty filter matches everything', () => {
    for (const text of ['', ' ', '&', ' & ']) {
      expect(matches(text, session())).toBe(true);
      expect(filter(text).text).toBe('');
    }
  });
});

describe('wrong filters', () => {
  it('a wrong key lists the right ones', () => {
    const error = fault('protokol=sips');
    expect(error.allowed).toEqual(filterKeys.map((key) => key.key));
    expect(error.message).toContain('protokol');
    for (const { key } of filterKeys) expect(error.message).toContain(key);
  });

  it('a wrong word of a closed set lists all of that set', () => {
    for (const { key, words } of filterKeys) {
      if (words === null) continue;
      const error = fault(`${key}=sideways`);
      expect(error.key).toBe(key);
      expect(error.allowed).toEqual(words);
    }
    expect(fault('protocol=sips,lync').message).toContain('"lync"');
  });

  it.each(['client=10.0.0.0/33', 'client=host', 'since=10', 'since=m', 'since=-1m', 'since=1m,2m', 'protocol=', 'protocol', 'protocol=sips,', 'q=', 'state=Active', '=x', '__proto__=x', 'toString=x'])('%s is refused', (text) => {
    expect(parseFilter(text)).toBeInstanceOf(FilterError);
  });

  it('an error repeats what was typed without control characters and not at length', () => {
    const { message } = fault(`${'\u001b[31m'.repeat(100)}=x`);
    expect(message).not.toContain('\u001b');
    expect(message.length).toBeLessThan(300);
  });

  it('never throws, whatever it is given', () => {
    let seed = 3;
    const alphabet = ['protocol', 'since', 'client', 'q', '=', '&', ',', '%', '%zz', '*', '/', ':', ' ', '\u0000', 'é', '10', 'm', 'sips'];
    for (let round = 0; round < 3_000; round += 1) {
      let text = '';
      for (let part = 0; part < 8; part += 1) {
        seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
        text += alphabet[seed % alphabet.length] ?? '';
      }
      expect(() => parseFilter(text)).not.toThrow();
    }
  });
});

describe('the text of a filter', () => {
  it('parses to the same filter, from URL and from text', () => {
    const params = new URLSearchParams('protocol=sips%2Cms-turn&q=a%26b+c&client=10.0.0.0%2F8&sni=*.x');
    const first = filter(params);
    const again = filter(first.text);
    expect(again.text).toBe(first.text);
    const one = session({ protocol: 'sips', user: 'a&b c', sni: 'y.x' });
    expect(first.matches(one, startMs)).toBe(true);
    expect(again.matches(one, startMs)).toBe(true);
    expect(again.matches({ ...one, user: 'a' }, startMs)).toBe(false);
  });
});
