import { expect, test } from 'vitest';
import { benches, parseWrk } from '../../../bench/benches.ts';

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

test('benches have different names', () => {
  expect(new Set(benches.map(({ name }) => name)).size).toBe(benches.length);
});
