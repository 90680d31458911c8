// Draws a stored run as SVG: a row for each bench, a mark for each program at what it takes in multiples of what Sallyport takes, on a
// logarithmic scale. Readable on light and dark pages and without colours; pure text from data.

import { inColumn, programColumns } from './columns.ts';
import type { Column } from './columns.ts';
import { shown } from './report.ts';
import { roundsToQuote } from './results.ts';
import type { BenchResult, Results } from './results.ts';

/** What is drawn, and in which words. */
const rows: readonly { readonly bench: string; readonly label: string; readonly unit: string }[] = [
  { bench: 'handshake', label: 'Full handshakes, request, close', unit: 'ms' },
  { bench: 'resumed', label: 'Resumed handshakes', unit: 'ms' },
  { bench: 'keepalive', label: 'Request on a held connection', unit: 'ms' },
  { bench: 'http2', label: 'HTTP/2 request', unit: 'ms' },
  { bench: 'websocket', label: 'WebSocket echo', unit: 'ms' },
  { bench: 'download', label: 'Download, 256 MiB', unit: 'ms' },
  { bench: 'upload', label: 'Upload, 256 MiB', unit: 'ms' },
  { bench: 'tunnel', label: 'Tunnelled, 256 MiB', unit: 'ms' },
  { bench: 'memory', label: 'Memory of a held session', unit: 'KiB' },
  { bench: 'first-visit', label: 'First visit to a name (latency)', unit: 'ms' },
];

const size = { width: 860, left: 240, right: 96, top: 78, row: 32, bottom: 34 } as const;
const ticks = [0.125, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64];
/** Vertical place in its row, so that marks at one value stand beside each other. */
const lift: Readonly<Record<string, number>> = { sslsplit: -6, squid: 6, mitmproxy: -3, mockttp: 3, haproxy: 0 };
/** Half a mark. */
const half = 5;

/** The chart as the text of an SVG file. */
export function chart({ startedAt, machine, effort, benches }: Results): string {
  const drawn = rows.flatMap((row) => {
    const bench = benches.find(({ bench: name }) => name === row.bench);
    return bench === undefined || (bench.peers[0]?.summary ?? null) === null ? [] : [{ ...row, bench }];
  });
  const height = size.top + drawn.length * size.row + size.bottom;
  const plotEnd = height - size.bottom;
  const axis = ticks.map((tick) => `<line class="${tick === 1 ? 'one' : 'grid'}" x1="${at(tick)}" y1="${String(size.top)}" x2="${at(tick)}" y2="${String(plotEnd)}"/>`
    + `<text class="tick" x="${at(tick)}" y="${String(plotEnd + 16)}" text-anchor="middle">${tick === 1 ? 'Sallyport' : tick < 1 ? `1/${String(1 / tick)}` : `×${String(tick)}`}</text>`);
  const lines = drawn.map(({ bench, label, unit }, index) => rowOf(bench, label, unit, size.top + index * size.row + size.row / 2));
  const few = effort.rounds < roundsToQuote ? 'Too few rounds to be quoted. ' : '';
  const about = `${few}Medians of ${String(effort.rounds)} interleaved rounds, ${startedAt.slice(0, 10)}, ${String(machine.cores)} cores of ${machine.cpu}. CPU of the proxy unless said otherwise.`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${String(size.width)} ${String(height)}" width="${String(size.width)}" height="${String(height)}" role="img" aria-label="What each proxy takes in multiples of Sallyport">`,
    `<style>${style}</style>`,
    `<rect class="page" width="${String(size.width)}" height="${String(height)}" rx="8"/>`,
    `<text class="title" x="16" y="24">What each proxy takes, in multiples of what Sallyport takes</text>`,
    `<text class="note" x="16" y="42">${escaped(about)}</text>`,
    ...legend(),
    ...axis, ...lines,
    '</svg>', '',
  ].join('\n');
}

function rowOf(bench: BenchResult, label: string, unit: string, y: number): string {
  const ours = shown(bench.peers[0]?.summary?.median);
  const marks = programColumns.slice(1).flatMap((column) => {
    const ratio = inColumn(bench, column)?.ratio ?? null;
    if (ratio === null) return [];
    return [`<g><title>${escaped(`${column.label}: ×${shown(1 / ratio)}`)}</title>${mark(column, Number(at(1 / ratio)), y + (lift[column.slug] ?? 0))}</g>`];
  });
  return `<text class="label" x="16" y="${String(y + 4)}">${escaped(label)}</text>`
    + `<line class="grid" x1="${String(size.left)}" y1="${String(y)}" x2="${String(size.width - size.right)}" y2="${String(y)}"/>`
    + marks.join('')
    + `<text class="own" x="${String(size.width - 12)}" y="${String(y + 4)}" text-anchor="end">${ours} ${unit}</text>`;
}

function legend(): string[] {
  const y = 62;
  const step = 106;
  return [
    ...programColumns.slice(1).map((column, index) => {
      const x = size.left + index * step;
      return `${mark(column, x, y)}<text class="label" x="${String(x + 11)}" y="${String(y + 4)}">${escaped(column.label)}${column.slug === 'haproxy' ? ' (limit)' : ''}</text>`;
    }),
    `<text class="note" x="${String(size.width - 12)}" y="${String(y + 4)}" text-anchor="end">Sallyport</text>`,
  ];
}

/** A shape of its own for each program: colours alone tell not everybody. */
function mark({ slug }: Column, x: number, y: number): string {
  const [left, right, top, bottom] = [x - half, x + half, y - half, y + half].map((value) => value.toFixed(1));
  switch (slug) {
    case 'sslsplit': return `<rect class="${slug}" x="${left ?? ''}" y="${top ?? ''}" width="${String(2 * half)}" height="${String(2 * half)}"/>`;
    case 'squid': return `<path class="${slug}" d="M${x.toFixed(1)} ${top ?? ''}L${right ?? ''} ${y.toFixed(1)}L${x.toFixed(1)} ${bottom ?? ''}L${left ?? ''} ${y.toFixed(1)}Z"/>`;
    case 'mitmproxy': return `<path class="${slug}" d="M${left ?? ''} ${bottom ?? ''}L${right ?? ''} ${bottom ?? ''}L${x.toFixed(1)} ${top ?? ''}Z"/>`;
    case 'mockttp': return `<path class="${slug}" d="M${left ?? ''} ${top ?? ''}L${right ?? ''} ${top ?? ''}L${x.toFixed(1)} ${bottom ?? ''}Z"/>`;
    default: return `<circle class="${slug}" cx="${x.toFixed(1)}" cy="${y.toFixed(1)}" r="${String(half)}"/>`;
  }
}

/** Place of a multiple on the axis; beyond its ends at its ends. */
function at(multiple: number): string {
  const [first, last] = [ticks[0] ?? 1, ticks.at(-1) ?? 1].map(Math.log2);
  const share = (Math.log2(Math.min(Math.max(multiple, ticks[0] ?? 1), ticks.at(-1) ?? 1)) - (first ?? 0)) / ((last ?? 1) - (first ?? 0));
  return (size.left + share * (size.width - size.right - size.left)).toFixed(1);
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

const style = [
  'text{font:13px system-ui,sans-serif;fill:#1f2328}.title{font-weight:600;font-size:15px}.note,.tick{fill:#59636e;font-size:11px}.own{font-weight:600}',
  '.page{fill:#ffffff}.grid{stroke:#d1d9e0;stroke-width:1}.one{stroke:#1f2328;stroke-width:2}',
  '.sslsplit{fill:#0969da}.squid{fill:#bc4c00}.mitmproxy{fill:#8250df}.mockttp{fill:#1a7f37}.haproxy{fill:#59636e}',
  '@media(prefers-color-scheme:dark){.page{fill:#0d1117}text{fill:#e6edf3}.note,.tick{fill:#9198a1}.grid{stroke:#3d444d}.one{stroke:#e6edf3}',
  '.sslsplit{fill:#4493f8}.squid{fill:#f0883e}.mitmproxy{fill:#ab7df8}.mockttp{fill:#3fb950}.haproxy{fill:#9198a1}}',
].join('');
