// Warnings at load time: each kind appears where it should and nowhere else.

import { describe, expect, it } from 'vitest';
import { lint } from '../../../src/policy/lint.ts';
import type { PolicyOptions } from '../../../src/policy/rules.ts';
import { optionsWith, rulesOf } from './support.ts';

const complete = {
  connection: [{ then: 'allow' }], ssl: [{ then: 'intercept' }], certificate: [{ then: 'deny' }], protocol: [{ then: 'handoff' }],
  http: [{ then: 'allow' }], sip: [{ then: 'allow' }], turn: [{ then: 'allow' }],
};

/** Warnings of the complete policy with stages replaced, as `path: problem`. */
function warnings(stages: object, options: PolicyOptions = optionsWith()): string[] {
  return lint(rulesOf({ ...complete, ...stages }), options).map(({ path, problem }) => `${path}: ${problem}`);
}

it('a complete policy has no warning', () => expect(warnings({})).toEqual([]));

describe('rules that can never match', () => {
  it('behind a rule that takes everything', () => {
    expect(warnings({ ssl: [{ name: 'all', then: 'intercept' }, { when: { sni: 'a.example' }, then: 'tunnel' }] })).toEqual(['policy.ssl[1]: ssl/#1 can never match: ssl/all comes first and matches all that it would']);
  });
  it('behind a wider rule', () => {
    const said = warnings({ connection: [{ when: { client: '10.0.0.0/8' }, then: 'allow' }, { when: { client: '10.1.0.0/16', port: 25 }, then: 'deny' }, { when: { client: '11.0.0.0/8' }, then: 'deny' }, { then: 'allow' }] });
    expect(said).toEqual(['policy.connection[1]: connection/#1 can never match: connection/#0 comes first and matches all that it would']);
  });
  it('excluded by its own not', () => {
    expect(warnings({ connection: [{ when: { port: [443], not: { port: '400-500' } }, then: 'deny' }, { then: 'allow' }] })[0]).toContain('policy.connection[0].when.not: connection/#0 can never match');
  });
  it('protocol words that never come with that tls', () => {
    const said = warnings({ protocol: [{ when: { tls: 'none', protocol: ['sips', 'https-h1'] }, then: 'deny' }, { when: { tls: 'tunnelled', protocol: 'sip' }, then: 'deny' }, { when: { tls: 'tunnelled', protocol: 'tls' }, then: 'relay' }, { when: { tls: 'none', protocol: ['sips', 'sip'] }, then: 'deny' }, { then: 'handoff' }] });
    expect(said).toHaveLength(2);
    expect(said[0]).toBe('policy.protocol[0].when: protocol/#0 can never match: sips, https-h1 never comes with tls none');
  });
  it('protocols that no service looks for', () => {
    const options = optionsWith({ https: { detectProtocol: ['tls', 'https'] }, socks: { type: 'socks', detectProtocol: ['tls', 'sips'] } });
    const rules = { protocol: [{ when: { protocol: 'ms-turn' }, then: 'deny' }, { when: { protocol: 'sips', service: 'https' }, then: 'deny' }, { when: { protocol: 'sips' }, then: 'deny' }, { then: 'handoff' }], turn: [{ when: { peer: '10.0.0.0/8' }, then: 'deny' }, { then: 'allow' }], sip: [{ when: { service: 'https', method: 'INVITE' }, then: 'deny' }, { then: 'allow' }] };
    expect(warnings(rules, options)).toEqual([
      'policy.protocol[0]: protocol/#0 can never match: no service it applies to looks for ms-turn (detectProtocol)',
      'policy.protocol[1]: protocol/#1 can never match: no service it applies to looks for sips (detectProtocol)',
      'policy.sip[0]: sip/#0 can never match: no service it applies to looks for sip (detectProtocol)',
      'policy.turn[0]: turn/#0 can never match: no service it applies to looks for turn (detectProtocol)',
    ]);
  });
  it('a connection rule that switches detection on counts as looking', () => {
    const rules = { connection: [{ when: { port: 443 }, then: 'allow', detect: { on: ['turn-any'] } }, { then: 'allow' }], turn: [{ when: { peer: '10.0.0.0/8' }, then: 'deny' }, { then: 'allow' }] };
    expect(warnings(rules, optionsWith({ https: { detectProtocol: ['https'] } }))).toEqual([]);
  });
});

describe('services that intercept but cannot detect', () => {
  it('an ssl service with detection off relays decrypted, and says so', () => {
    expect(warnings({}, optionsWith({ https: { detectProtocol: false } }))).toEqual([
      'services[0].detectProtocol: service https intercepts but cannot detect: ssl/#0 hands nothing off, what is inside TLS is relayed decrypted (as STunnel interception), and http, sip and turn rules never match on it',
    ]);
  });
  it.each(['http-explicit', 'socks', 'tcp-tunnel'] as const)('a %s service with detection off intercepts nothing', (type) => {
    expect(warnings({}, optionsWith({ old: { type, detectProtocol: false } }))).toEqual(['services[0].detectProtocol: service old intercepts nothing: it does not look for tls, so ssl/#0 never matches on it']);
    expect(warnings({}, optionsWith({ old: { type, detectProtocol: ['sips'] } }))).toHaveLength(1);
  });
  it('no warning where STunnel was meant, where nothing is intercepted, or for other services', () => {
    const off = optionsWith({ https: { detectProtocol: false } });
    expect(warnings({ ssl: [{ then: 'intercept', handoff: false }] }, off)).toEqual([]);
    expect(warnings({ ssl: [{ then: 'tunnel' }] }, off)).toEqual([]);
    expect(warnings({ ssl: [{ when: { service: 'https' }, then: 'intercept' }, { then: 'tunnel' }] }, optionsWith({ https: {}, old: { type: 'socks', detectProtocol: false } }))).toEqual([]);
  });
});

describe('deny rules where detection is off', () => {
  const deny = [{ name: 'unknown', when: { tls: 'intercepted', not: { protocol: ['https', 'sips', 'ms-turn'] } }, then: 'deny' }, { name: 'undetected', when: { tls: 'none', protocol: 'undetected' }, then: 'deny' }, { then: 'handoff' }];
  const about = (stages: object, options: PolicyOptions): string[] => warnings(stages, options).filter((text) => text.includes('detection is off'));
  it('says what an ssl service loses', () => {
    expect(about({ protocol: deny }, optionsWith({ https: { detectProtocol: false } }))[0]).toContain('detection is off on service https: protocol/unknown denies everything inside the TLS it intercepts');
  });
  it('says may deny where other conditions decide', () => {
    const narrow = [{ name: 'some', when: { client: '10.0.0.0/8', protocol: 'undetected' }, then: 'deny' }, { then: 'relay' }];
    expect(about({ protocol: narrow }, optionsWith({ old: { type: 'socks', detectProtocol: false } }))[0]).toContain('protocol/some may deny every SOCKS request');
  });
  it('is silent where a rule before it lets the service pass, or detection is on', () => {
    const passing = [{ when: { service: 'old' }, then: 'relay' }, ...deny];
    expect(about({ protocol: passing }, optionsWith({ old: { type: 'socks', detectProtocol: false } }))).toEqual([]);
    expect(about({ protocol: deny }, optionsWith({ old: { type: 'socks' } }))).toEqual([]);
    expect(about({ protocol: deny, ssl: [{ then: 'tunnel' }] }, optionsWith({ https: { detectProtocol: false } }))).toEqual([]);
  });
});

describe('defaults relied on', () => {
  it('every stage without a last rule for all says so', () => {
    const said = lint(rulesOf({}), optionsWith({ https: {} }));
    expect(said.map(({ path }) => path)).toEqual(['policy.connection', 'policy.ssl', 'policy.certificate', 'policy.protocol', 'policy.http', 'policy.sip', 'policy.turn']);
    expect(said[1]?.problem).toBe('the default is relied on: TLS that no rule matches is tunnelled, not opened; a last rule without `when` says it openly');
  });
});

describe('keys that do nothing', () => {
  it('beside a then that has no use for them', () => {
    const said = warnings({
      connection: [{ when: { port: 1 }, then: 'tunnel', detect: { off: 'sip' } }, { then: 'allow', detect: { off: 'sip' } }],
      ssl: [{ when: { sni: 'a' }, then: 'tunnel', clientCert: 'tunnel', handoff: false }, { then: 'intercept', clientCert: 'deny' }],
      http: [{ then: 'allow', status: 404 }],
    });
    expect(said).toEqual([
      'policy.connection[0].detect: detect does nothing in connection/#0: its `then` is tunnel',
      'policy.ssl[0].handoff: handoff does nothing in ssl/#0: its `then` is tunnel',
      'policy.ssl[0].clientCert: clientCert does nothing in ssl/#0: its `then` is tunnel',
      'policy.http[0].status: status does nothing in http/#0: its `then` is allow',
    ]);
  });
});

it('a thousand rules are looked over in good time', () => {
  const ssl = [...Array.from({ length: 1000 }, (_, index) => ({ when: { sni: [`h${index}.example`, `*.w${index}.example`], client: `10.0.${index % 256}.0/24` }, then: 'tunnel' })), { then: 'intercept' }];
  const started = performance.now();
  expect(warnings({ ssl })).toEqual([]);
  expect(performance.now() - started).toBeLessThan(10_000);
});
