import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { chart } from '../../../bench/chart.ts';
import { chartFile, readmeFile, resultsText, withResults } from '../../../bench/publish.ts';
import { newestBaseline, parseResults } from '../../../bench/stored.ts';

const { name, results } = newestBaseline();

test('the chart of README.md is drawn from the newest baseline (./sallyport bench --redraw)', () => {
  expect(readFileSync(chartFile, 'utf8')).toBe(chart(results));
});

test('the tables of bench/README.md are those of the newest baseline (./sallyport bench --redraw)', () => {
  const readme = readFileSync(readmeFile, 'utf8');
  expect(withResults(readme, resultsText(name, results))).toBe(readme);
});

test('the newest baseline is a whole run: every bench, and no round in which Sallyport did not finish', () => {
  expect(results.benches.map(({ bench }) => bench)).toEqual(['handshake', 'resumed', 'keepalive', 'http2', 'websocket', 'download', 'upload', 'tunnel', 'memory', 'first-visit', 'workers', 'idle']);
  expect(results.benches.filter(({ peers }) => peers[0]?.failure !== null)).toEqual([]);
  expect(results.curve).not.toBeNull();
});

test('the chart is well-formed, and shows who did not take part nowhere', () => {
  const text = chart(results);
  const open = [...text.matchAll(/<(svg|g|text|title|style)[\s>]/g)].length;
  const closed = [...text.matchAll(/<\/(svg|g|text|title|style)>/g)].length;
  expect(open).toBe(closed);
  expect(text).not.toMatch(/NaN|undefined|null/);
  const alone = chart({ ...results, benches: results.benches.map((bench) => ({ ...bench, peers: bench.peers.slice(0, 1) })) });
  expect(alone).not.toContain('<title>');
});

test('a bench that Sallyport did not finish is not drawn', () => {
  const without = results.benches.map((bench) => ({ ...bench, peers: bench.peers.map((peer, index) => (index === 0 && bench.bench === 'http2' ? { ...peer, summary: null } : peer)) }));
  expect(chart({ ...results, benches: without })).not.toContain('>HTTP/2 request<');
});

test('tables go between the markers and nowhere else', () => {
  const readme = readFileSync(readmeFile, 'utf8');
  const other = withResults(readme, 'other results');
  expect(other).toContain('\n\nother results\n\n');
  expect(withResults(other, resultsText(name, results))).toBe(readme);
  expect(() => withResults('no markers', 'text')).toThrow(/markers/);
});

test('a stored run that is not whole is refused', () => {
  expect(() => parseResults('{}')).toThrow();
  expect(() => parseResults(JSON.stringify({ ...results, benches: [{ bench: 'handshake' }] }))).toThrow();
});
