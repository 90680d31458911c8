// Reading configs: all faults at once, each at its line, in words that say what to do; and what a good one becomes.

import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { faultText, loadConfig } from '../../../src/config/load.ts';
import type { Config } from '../../../src/config/schema.ts';

const service = 'services: [{ name: https, type: ssl, listen: "[::]:8443" }]';

function faults(text: string): string[] {
  const loaded = loadConfig(text, 'x.yaml');
  return loaded.ok ? [] : loaded.faults.map(faultText);
}

function good(text: string, file = 'x.yaml'): Config {
  const loaded = loadConfig(text, file);
  if (!loaded.ok) throw new Error(loaded.faults.map(faultText).join('\n'));
  return loaded.config;
}

describe('faults', () => {
  it('come all at once, each with its line and path', () => {
    const text = `workers: many
admin: { lisen: 127.0.0.1:9090 }
services:
  - name: https
    type: sssl
    listen: 0.0.0.0:99999
  - { name: https, type: socks, listen: 127.0.0.1:1080, acquire: redirect }
policy:
  ssl:
    - when:
        sni: "*.bank.example"
        service: [nope]
      then: tunnel
      issuer: lab
    - then: sometimes
limits:
  sessionsmax: 7
`;
    expect(faults(text)).toEqual([
      'x.yaml:1: workers: found "many", which is none of: auto, a number',
      'x.yaml:2: admin.lisen: unknown key; did you mean listen?',
      'x.yaml:5: services[0].type: expected one of ssl, http, http-explicit, socks, tcp-tunnel; found "sssl"',
      'x.yaml:6: services[0].listen: expected ADDRESS:PORT, such as 0.0.0.0:8443 or "[::]:8443"; found "0.0.0.0:99999"',
      'x.yaml:7: services[1].acquire: a socks service is not transparent: its clients name their destination; found "redirect"',
      'x.yaml:7: services[1].name: two services have this name: https',
      'x.yaml:12: policy.ssl[0].when.service: there is no service named "nope"; services: https, https',
      'x.yaml:14: policy.ssl[0].issuer: there is no issuer named "lab" in issuers',
      'x.yaml:15: policy.ssl[1].then: expected one of intercept, tunnel, deny, intercept-on-exception; found "sometimes"',
      'x.yaml:17: limits.sessionsmax: unknown key; did you mean sessionsMax?',
    ]);
  });
  it('a missing key is at its parent\'s line', () => {
    expect(faults('services:\n  - listen: 127.0.0.1:1\n    type: ssl\n')).toEqual(['x.yaml:2: services[0].name: is missing; expected a text']);
    expect(faults('workers: 0\n')).toEqual(['x.yaml:1: services: is missing; expected a list']);
    expect(faults('')).toEqual(['x.yaml:1: services: is missing; expected a list']);
  });
  it('text that is no YAML says where', () => {
    expect(faults('services:\n  - { name: [ }\n')[0]).toMatch(/^x\.yaml:2: config: not YAML: /);
    expect(faults('a: 1\na: 2\n')[0]).toMatch(/^x\.yaml:2: config: not YAML: Map keys must be unique/);
    expect(faults('- just\n- a list\n')).toEqual(['x.yaml:1: config: expected a mapping of keys, found a list']);
  });
  it('aliases cannot blow the document up', () => {
    const bomb = ['a: &a [x,x,x,x,x,x,x,x,x]', ...'bcdefghi'.split('').map((name, index) => `${name}: &${name} [${Array(9).fill(`*${'abcdefgh'[index]}`).join(',')}]`)].join('\n');
    expect(faults(bomb)[0]).toContain('not YAML');
  });
  it('a condition of another stage says which stages know it', () => {
    expect(faults(`${service}\npolicy: { connection: [{ when: { sni: x }, then: allow }] }`)).toEqual(['x.yaml:2: policy.connection[0].when.sni: the connection stage does not know sni yet or any more; stages that do: ssl, certificate, protocol, http, sip, turn']);
    expect(faults(`${service}\npolicy: { http: [{ when: { not: { problem: name } }, then: allow }] }`)[0]).toContain('stages that do: certificate');
  });
  it('HTTP_AMBIGUOUS, certificate codes and policy codes cannot be listed', () => {
    const said = faults(`${service}\ntunnelOnError: [HTTP_AMBIGUOUS, UPSTREAM_CERT_EXPIRED, DIAL_TIMEOUT, CONNECTION_DENIED, NONSENSE, NOT_TLS]`);
    expect(said).toHaveLength(5);
    expect(said[0]).toBe('x.yaml:2: tunnelOnError[0]: HTTP_AMBIGUOUS cannot be listed: two parties could read such a message differently, so it is always refused');
    expect(said[1]).toContain('only the certificate stage decides it');
    expect(said[2]).toContain('DIAL_TIMEOUT never becomes a tunnel');
    expect(said[4]).toContain('unknown code "NONSENSE"; codes that may be listed: NOT_TLS');
  });
  it('invalid certificates can be neither accepted nor mirrored', () => {
    for (const then of ['accept', 'mirror-untrusted']) expect(faults(`${service}\npolicy: { certificate: [{ when: { problem: [name, invalid] }, then: ${then} }] }`)).toEqual(['x.yaml:2: policy.certificate[0].when.problem: `invalid` allows only deny or tunnel']);
    expect(faults(`${service}\npolicy: { certificate: [{ when: { problem: invalid }, then: tunnel }] }`)).toEqual([]);
  });
  it('limits are held to their bounds', () => {
    expect(faults(`${service}\nlimits: { dialMs: 1, peekBytesMax: 99999999, relayIdleMs: soon, sessionsMax: 1.5 }`)).toEqual([
      'x.yaml:2: limits.sessionsMax: expected a whole number, found 1.5',
      'x.yaml:2: limits.peekBytesMax: 99999999 is too large: at most 262144',
      expect.stringContaining('x.yaml:2: limits.dialMs: 1 ms is out of bounds'),
      expect.stringContaining('x.yaml:2: limits.relayIdleMs: expected milliseconds or text such as'),
    ]);
  });
  it('what does not go together says so', () => {
    const base = 'name: t, listen: 127.0.0.1:1';
    expect(faults(`services: [{ ${base}, type: ssl, to: "a.example:1" }]`)[0]).toContain('services[0].to: only a tcp-tunnel service has a fixed server');
    expect(faults(`services: [{ ${base}, type: tcp-tunnel, to: "a.example:1", acquire: tproxy }]`)[0]).toContain('leave one of the two out');
    expect(faults(`services: [{ ${base}, type: socks, source: client }]`)[0]).toContain('only a transparent service');
    expect(faults(`services: [{ ${base}, type: ssl, source: client }]\nupstream: { proxy: "http://p.example:3128" }`)[0]).toContain('services[0].source: with upstream.proxy, servers see the proxy');
    expect(faults(`services: [{ ${base}, type: http, auth: { users: u } }]`)[0]).toContain('services[0].auth');
    expect(faults(`services: [{ ${base}, type: socks, intercept: { ports: 443 } }]`)[0]).toContain('only transparent services take traffic');
    expect(faults(`services: [{ ${base}, type: ssl }]\nadmin: { listen: "127.0.0.1:1" }`)).toEqual(['x.yaml:2: admin.listen: two listeners have this address: 127.0.0.1:1']);
    expect(faults(`${service}\npolicy: { http: [{ name: a, then: allow }, { name: a, then: deny }] }`)).toEqual(['x.yaml:2: policy.http[1].name: two rules of the http stage have this name: a']);
  });
  it('never throws on any document', () => {
    for (const text of ['null', '5', '"x"', '{}', '[]', '? {a: b}\n: c', 'services: 5', 'services: [null, 5, []]', 'policy: { ssl: { a: 1 } }', 'policy: [1]', 'services: [{name: [a], type: {}}]', '%YAML 9\n---\na', '--- a\n--- b', '!!binary x', 'a: !foo b', 'issuers: { "": {} }', '1: 2', 'limits: [1]', '&a [*a]']) {
      const loaded = loadConfig(text, 'x.yaml');
      expect([text, loaded.ok]).toEqual([text, false]);
      if (!loaded.ok) expect(loaded.faults.length).toBeGreaterThan(0);
    }
  });
});

describe('a good config', () => {
  it('is fully defaulted', () => {
    const config = good(service);
    expect(config).toMatchObject({
      state: '/var/lib/sallyport', workers: 'auto', tunnelOnError: false, admin: { listen: { host: '127.0.0.1', port: 9090 }, tokenFile: '/var/lib/sallyport/admin.token', readTokenFile: '/var/lib/sallyport/read.token' },
      issuer: { cert: '/var/lib/sallyport/ca.pem', key: '/var/lib/sallyport/ca.key', leafKey: 'auto', crl: { enabled: true, host: 'auto', days: 30, listen: { host: '::', port: 9080 } }, ocsp: { enabled: true, staple: true } },
      learned: { enabled: false, failures: 3, within: 600_000, ttl: 43_200_000 }, upstream: { ca: 'system', extraCa: [], minVersion: 'TLSv1.2', proxy: null, allowLocal: false },
      logging: { level: 'info', access: 'off', requests: 'off' }, capture: { keylog: 'off', pcap: 'off' },
    });
    expect(config.services[0]).toMatchObject({ acquire: 'redirect', to: null, detectProtocol: true, listen: { host: '::', port: 8443 }, limits: {}, auth: null, intercept: null });
    expect(config.limits.relayIdleMs).toBe(3_600_000);
  });
  it('reads everything of the contract\'s example', () => {
    const config = good(`
state: /var/lib/sallyport
workers: auto
admin:    { listen: 127.0.0.1:9090, tokenFile: admin.token }
issuer:
  cert: ca.pem
  key:  ca.key
  leafKey: auto
  crl:   { enabled: true, host: auto, days: 30, listen: "[::]:9080" }
  ocsp:  { enabled: true, staple: true }
services:
  - { name: https,  type: ssl,           listen: "[::]:8443", acquire: redirect, detectProtocol: true }
  - { name: http,   type: http,          listen: 0.0.0.0:8080, acquire: redirect }
  - { name: proxy,  type: http-explicit, listen: 0.0.0.0:3128, detectProtocol: true }
  - { name: socks,  type: socks,         listen: 0.0.0.0:1080, detectProtocol: true }
  - { name: sip,    type: tcp-tunnel,    listen: 0.0.0.0:8061, acquire: tproxy, detectProtocol: true }
  - { name: fixed,  type: tcp-tunnel,    listen: 0.0.0.0:8062, to: lync.example:5061, detectProtocol: [tls, sips], proxyProtocol: [10.0.0.0/8], tunnelOnError: [NOT_TLS], clientTls: { minVersion: TLSv1.2 }, limits: { relayIdleMs: 10m } }
policy:
  connection:  [ { name: x, when: { client: [10.0.0.0/8], destination: [192.0.2.1], port: [443], service: [https] }, then: allow, detect: { on: [turn-any], off: [tls, https, sips, sip] } } ]
  ssl:         [ { when: { sni: ["*.bank.example"], ja4: ["t13*"], alpn: [h2], file: bypass.txt }, then: tunnel },
                 { then: intercept, handoff: true, tunnelOnError: true, clientCert: tunnel, detect: { off: [sip-any] } } ]
  certificate: [ { when: { problem: [expired], name: ["*.bank.example"] }, then: mirror-untrusted } ]
  protocol:
               [ { when: { tls: intercepted, not: { protocol: [https, sips, ms-turn] } }, then: deny },
                 { when: { tls: none, protocol: [undetected] }, then: deny } ]
  http:        [ { when: { method: [POST], host: [a.example], path: ["/admin/*"] }, then: deny, status: 403 } ]
  sip:         [ { when: { method: [INVITE], from: ["sip:*"], to: ["sip:*"], agent: ["x*"] }, then: deny, status: 403 } ]
  turn:        [ { when: { message: [Allocate], peer: [10.0.0.0/8] }, then: deny } ]
learned:  { enabled: false, failures: 3, within: 10m, ttl: 12h }
upstream: { ca: system, extraCa: [lab-root.pem], minVersion: TLSv1.2, clientCerts: [{ host: a.example, cert: c.pem, key: c.key }], proxy: "http://proxy.example:3128", dns: [10.0.0.53], allowLocal: false }
logging:  { level: info, access: access.jsonl }
capture:  { keylog: off, pcap: off }
limits:   { sessionsMax: 5 }
`);
    expect(config.services[5]).toMatchObject({ acquire: null, to: { host: 'lync.example', port: 5061 }, limits: { relayIdleMs: 600_000 }, detectProtocol: ['tls', 'sips'] });
    expect(config.services[4]?.acquire).toBe('tproxy');
    expect(config.services[2]?.acquire).toBeNull();
    expect(config.limits.sessionsMax).toBe(5);
    expect(config.policy.protocol[0]?.when).toEqual({ tls: ['intercepted'], not: { protocol: ['https', 'sips', 'ms-turn'] } });
  });
  it('resolves the operator\'s files at the config, the gateway\'s own at state', () => {
    const config = good(`state: data\nupstream: { extraCa: [root.pem, /abs.pem], ca: roots.pem }\nlogging: { access: access.jsonl, requests: requests.jsonl }\nissuers: { lab: { cert: a.pem, key: k.pem } }\npolicy: { ssl: [{ when: { file: names.txt, not: { file: [more.txt] } }, then: tunnel }] }\n${service}`, 'etc/x.yaml');
    const etc = resolve('etc');
    expect([config.state, config.issuer.cert, config.logging.access, config.logging.requests]).toEqual([`${etc}/data`, `${etc}/data/ca.pem`, `${etc}/data/access.jsonl`, `${etc}/data/requests.jsonl`]);
    expect([config.upstream.extraCa, config.upstream.ca, config.issuers.lab?.key]).toEqual([[`${etc}/root.pem`, '/abs.pem'], `${etc}/roots.pem`, `${etc}/k.pem`]);
    expect(config.policy.ssl[0]?.when).toEqual({ file: [`${etc}/names.txt`], not: { file: [`${etc}/more.txt`] } });
  });
  it('resolves `file` in every stage that has it', () => {
    for (const [stage, then] of [['ssl', 'tunnel'], ['certificate', 'deny'], ['protocol', 'deny'], ['http', 'deny'], ['sip', 'deny'], ['turn', 'deny']]) {
      expect(JSON.stringify(good(`policy: { ${stage}: [{ when: { file: names.txt }, then: ${then} }] }\n${service}`).policy)).toContain(resolve('names.txt'));
    }
  });
  it('knows the line of a path, or of its nearest parent', () => {
    const loaded = loadConfig(`${service}\npolicy:\n  ssl:\n    - then: intercept\n    - when:\n        sni: a\n      then: tunnel\n`, 'x.yaml');
    expect(loaded.ok && ['policy', 'policy.ssl', 'policy.ssl[0]', 'policy.ssl[1].when.sni', 'policy.ssl[1].detect', 'policy.http', 'services[0].detectProtocol', 'nothing'].map((path) => loaded.lineOf(path))).toEqual([2, 3, 4, 6, 5, 2, 1, 1]);
  });
});

describe('warnings', () => {
  const warnings = (text: string): string[] => {
    const loaded = loadConfig(text, 'x.yaml');
    return loaded.ok ? loaded.warnings.map(faultText) : ['broken'];
  };
  it('an open proxy beyond loopback', () => {
    expect(warnings('services: [{ name: p, type: http-explicit, listen: 0.0.0.0:3128 }]')[0]).toContain('x.yaml:1: services[0]: warning: p is a proxy without auth on 0.0.0.0');
    expect(warnings('services: [{ name: p, type: http-explicit, listen: 127.0.0.1:3128 }]')).toEqual([]);
    expect(warnings('services: [{ name: p, type: socks, listen: 0.0.0.0:1080, auth: { users: u } }]')).toEqual([]);
  });
  it('key logs, missing revocation data, the default of tunnelOnError', () => {
    expect(warnings(`${service}\ncapture: { keylog: keys.log }`)[0]).toContain('x.yaml:2: capture.keylog: warning');
    expect(warnings(`${service}\nissuer: { crl: { enabled: false } }`)[0]).toContain('revocation');
    expect(warnings(`${service}\npolicy: { ssl: [{ then: intercept }] }`)[0]).toContain('tunnelOnError is false');
    expect(warnings(`${service}\ntunnelOnError: false\npolicy: { ssl: [{ then: intercept }] }`)).toEqual([]);
    expect(warnings(`${service}\npolicy: { ssl: [{ then: intercept, tunnelOnError: true }] }`)).toEqual([]);
  });
});
