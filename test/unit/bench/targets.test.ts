import { expect, test } from 'vitest';
import type { BenchResult, PeerResult } from '../../../bench/results.ts';
import { pairedRatio, summarise } from '../../../bench/statistics.ts';
import { targetTable, targets, verdict } from '../../../bench/targets.ts';

const ours = [2, 2, 2];

function peer(name: string, values: readonly number[], aside: Readonly<Record<string, number>> = {}): PeerResult {
  return {
    peer: name, about: '', summary: summarise(values), ratio: name === 'Sallyport' ? null : pairedRatio(ours, values), aside, failure: null,
    rounds: values.map((value) => ({ value, aside })),
  };
}

const handshake: BenchResult = { bench: 'handshake', title: '', unit: 'ms', peers: [peer('Sallyport', ours), peer('SSLsplit', [4, 4, 4]), peer('Squid', [5, 5, 5])] };
const upload: BenchResult = {
  bench: 'upload', title: '', unit: 'ms', peers: [peer('Sallyport', ours, { 'MiB per second': 150 }), peer('SSLsplit', ours, { 'MiB per second': 100 })],
};
const tunnel: BenchResult = { bench: 'tunnel', title: '', unit: 'ms', peers: [peer('Sallyport', ours, { 'MiB per second': 90 }), peer('HAProxy', [1, 1, 1], { 'MiB per second': 100 })] };
const firstVisit: BenchResult = { bench: 'first-visit', title: '', unit: 'ms', peers: [peer('Sallyport', ours), peer('SSLsplit', [3, 3, 3]), peer('Squid', [1, 1, 1])] };

test('each target finds its figure, and says met or by how much not', () => {
  const found = targets([handshake, upload, tunnel, firstVisit]).filter(({ measured }) => measured !== null);
  expect(found.map(({ measure, measured, ...rest }) => [measure, measured, verdict({ measure, measured, ...rest })])).toEqual([
    ['CPU of SSLsplit\'s', 0.5, 'met'],
    ['CPU of Squid\'s', 0.4, 'missed by 33 %'],
    ['throughput of SSLsplit\'s', 1.5, 'met'],
    ['throughput of HAProxy\'s', 0.9, 'met'],
    ['bytes per CPU second of HAProxy\'s', 0.5, 'missed by 29 %'],
    ['of the fastest other\'s', 2, 'missed by 100 %'],
  ]);
});

test('a bench that was not run has no figure', () => {
  expect(targets([]).every((target) => target.measured === null && verdict(target) === 'not measured')).toBe(true);
  expect(targetTable([handshake]).split('\n')).toHaveLength(4);
});
