import { expect, test } from 'vitest';
import { parseH2load, parseWrk } from '../../../bench/clients.ts';

const output = `Running 4s test @ https://https.lab.test/page
  1 threads and 16 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     4.43ms    1.20ms  20.61ms   87.21%
  14955 requests in 4.00s, 18.54MB read
Requests/sec:   3738.75
Transfer/sec:      4.63MB
`;

test('wrk: requests and rate', () => {
  expect(parseWrk(output)).toEqual({ requests: 14955, perSecond: 3738.75 });
});

test.each([
  ['  Socket errors: connect 0, read 12, write 0, timeout 0\n', /Socket errors/],
  ['  Non-2xx or 3xx responses: 14955\n', /Non-2xx/],
])('wrk: a run with %j did not finish', (trouble, reason) => {
  expect(() => parseWrk(output.replace('Requests/sec', `${trouble}Requests/sec`))).toThrow(reason);
});

test('wrk: no request is no result', () => {
  expect(() => parseWrk(output.replace('14955 requests', '0 requests'))).toThrow(/no requests/);
  expect(() => parseWrk('unable to connect')).toThrow(/no requests: unable to connect/);
});

const h2 = `starting benchmark...
spawning thread #0: 4 total client(s). Timing-based test with 0s of warm-up time and 3s of main duration for measurements.
TLS Protocol: TLSv1.3
Cipher: TLS_AES_256_GCM_SHA384
Server Temp Key: X25519 253 bits
Application protocol: h2
Main benchmark duration is over for thread #0. Stopping all clients.

finished in 3.00s, 8230.00 req/s, 8.50MB/s
requests: 24690 total, 24730 started, 24690 done, 24690 succeeded, 0 failed, 0 errored, 0 timeout
status codes: 24693 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 25.50MB (26738000) total, 1.00MB (1048576) headers (space savings 60.00%), 24.11MB (25282560) data
`;

test('h2load: requests and rate', () => {
  expect(parseH2load(h2, 'h2')).toEqual({ requests: 24690, perSecond: 8230 });
});

test.each([
  ['another protocol', h2.replace('Application protocol: h2', 'Application protocol: http/1.1'), /spoke http\/1\.1/],
  ['failed requests', h2.replace('0 failed', '7 failed'), /7 failed/],
  ['errored requests', h2.replace('0 errored', '1 errored'), /1 errored/],
  ['other statuses', h2.replace('24693 2xx', '12 2xx'), /requests:/],
  ['none', h2.replace('24690 succeeded', '0 succeeded'), /no requests/],
  ['no connection', 'client could not connect to host', /no requests: client could not/],
])('h2load: a run with %s is no result', (_, text, reason) => {
  expect(() => parseH2load(text, 'h2')).toThrow(reason);
});
