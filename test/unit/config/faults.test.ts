// From schema issues to faults: paths, hints and the alternative that was meant.

import { describe, expect, it } from 'vitest';
import { pathText, schemaFaults, valueAt } from '../../../src/config/faults.ts';
import { configSchema } from '../../../src/config/schema.ts';

function problems(raw: object): string[] {
  const parsed = configSchema.safeParse(raw);
  return parsed.success ? [] : schemaFaults(parsed.error.issues, raw).map(({ at, problem }) => `${pathText(at)}: ${problem}`);
}

const services = [{ name: 'a', type: 'ssl', listen: '[::]:1' }];

describe('schemaFaults', () => {
  it('of alternatives, speaks of the one that was meant', () => {
    expect(problems({ services, policy: { ssl: [{ when: { port: [443, 'x'] }, then: 'tunnel' }] } })).toEqual(['policy.ssl[0].when.port[1]: expected a port from 1 to 65535, or a range such as "5060-5070"; found "x"']);
    expect(problems({ services, policy: { ssl: [{ when: { sni: 5 }, then: 'tunnel' }] } })[0]).toBe('policy.ssl[0].when.sni: found 5, which is none of: a text, a list');
    expect(problems({ services, issuer: { crl: { host: 'http://a/b' } } })[0]).toContain('no scheme (http://) and no path; found "http://a/b"');
    expect(problems({ services, policy: { ssl: [{ then: 'intercept', detect: { off: ['tls', 'tlss'] } }] } })[0]).toContain('policy.ssl[0].detect.off[1]: expected one of ms-turn, ');
  });
  it('hints at the key that was meant, else lists the known ones', () => {
    expect(problems({ services, polcy: {} })).toEqual(['polcy: unknown key; did you mean policy?']);
    expect(problems({ services, logging: { nothingLikeIt: 1 } })).toEqual(['logging.nothingLikeIt: unknown key; known: level, access, requests']);
    expect(problems({ services: [{ ...services[0], zzzzzzz: 1 }] })[0]).toContain('known: acquire, to, source, detectProtocol');
  });
  it('cuts long values', () => expect(problems({ services, workers: 'x'.repeat(500) })[0]?.length).toBeLessThan(200));
  it('names of issuers are checked as keys', () => expect(problems({ services, issuers: { 'a/b': { cert: 'c', key: 'k' } } })[0]).toContain('expected a name of at most 64'));
});

it('valueAt walks plain data and stops where nothing is', () => {
  expect(valueAt({ a: [{ b: 5 }] }, ['a', 0, 'b'])).toBe(5);
  expect(valueAt({ a: 'text' }, ['a', 'length'])).toBeUndefined();
  expect(valueAt(null, ['a'])).toBeUndefined();
});
