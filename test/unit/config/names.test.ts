// Names that point at each other, judged even when other parts of the document are broken.

import { describe, expect, it } from 'vitest';
import { pathText } from '../../../src/config/faults.ts';
import { nameFaults } from '../../../src/config/names.ts';

const paths = (raw: unknown): string[] => nameFaults(raw).map(({ at }) => pathText(at));

describe('nameFaults', () => {
  it('services and issuers that rules name must exist', () => {
    const raw = { services: [{ name: 'a' }], issuers: { lab: {} }, policy: { ssl: [{ when: { service: 'a' }, issuer: 'lab' }, { when: { service: ['a', 'b'], not: { service: 'c' } }, issuer: 'lob' }], http: [{ when: { service: 'd' } }] } };
    expect(paths(raw)).toEqual(['policy.ssl[1].when.service', 'policy.ssl[1].when.not.service', 'policy.ssl[1].issuer', 'policy.http[0].when.service']);
  });
  it('names and listeners are used once; port 0 is no address', () => {
    expect(paths({ services: [{ name: 'a', listen: '127.0.0.1:1' }, { name: 'b', listen: '127.0.0.1:1' }, { name: 'a', listen: '127.0.0.1:0' }, { listen: '127.0.0.1:0' }], issuer: { crl: { listen: '127.0.0.1:1' } } })).toEqual(['services[2].name', 'services[1].listen', 'issuer.crl.listen']);
  });
  it('speaks although the document is broken elsewhere, and is silent on nonsense', () => {
    expect(paths({ services: 5, policy: { ssl: [{ when: { service: 'x' } }] } })).toEqual(['policy.ssl[0].when.service']);
    for (const raw of [null, 5, 'x', [], { policy: 5 }, { policy: { ssl: { a: 1 } } }, { issuers: [] }]) expect(paths(raw)).toEqual([]);
  });
});
