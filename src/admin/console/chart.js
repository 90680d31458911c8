// A live line chart by uPlot with a legend that is a list: colours from the style sheet, readable without seeing the lines.

import uPlot from 'uplot';
import { timeText } from './format.js';
import { html, useEffect, useLayoutEffect, useRef, useState } from './html.js';

/** Line colours; more series than these are summed up as `others`. */
const seriesMax = 8;
const heightPx = 180;
/** Shown at least: a page that was just opened has one reading, which is no span of time. */
const timeSpanSeconds = 120;

/** Steps of an axis, by what it counts: bytes in powers of two, whole things without fractions. */
const stepsOf = {
  bytes: Array.from({ length: 50 }, (_, power) => 2 ** power),
  count: Array.from({ length: 9 }, (_, power) => [1, 2, 5].map((digit) => digit * 10 ** power)).flat(),
};

/**
 * `times` are seconds since the epoch, `lines` maps a name to as many values (null where there is none). `write` formats one
 * value for axis and legend; `unit` is bytes, count or rate.
 */
export function Chart({ title, times, lines, write, unit }) {
  const box = useRef(null);
  const plot = useRef(null);
  const scheme = useScheme();
  const kept = useRef([]);
  const { names, values } = chosenLines(lines, times.length, kept.current);
  kept.current = names;
  const data = [times, ...values];

  useLayoutEffect(() => {
    const style = getComputedStyle(document.documentElement);
    const color = (name) => style.getPropertyValue(name).trim();
    const axis = { stroke: color('--faint'), grid: { stroke: color('--line'), width: 1 }, ticks: { show: false }, font: '12px system-ui, sans-serif' };
    plot.current = new uPlot({
      width: box.current.clientWidth, height: heightPx, legend: { show: false }, cursor: { y: false, drag: { x: false, y: false } },
      scales: { x: { range: (_, low, high) => [Math.min(low, high - timeSpanSeconds), high] }, y: { range: (_, low, high) => [Math.min(0, low), high > 0 ? high * 1.1 : 1] } },
      axes: [{ ...axis, values: (_, ticks) => ticks.map((tick) => timeText(tick * 1000)), space: 70, size: 30 }, { ...axis, size: 72, incrs: stepsOf[unit], values: (_, ticks) => ticks.map(write) }],
      series: [{}, ...names.map((name, index) => ({ label: name, stroke: color(`--series-${index + 1}`), width: 2, points: { show: false }, spanGaps: false }))],
    }, data, box.current);
    const observer = new ResizeObserver(() => plot.current?.setSize({ width: box.current.clientWidth, height: heightPx }));
    observer.observe(box.current);
    return () => {
      observer.disconnect();
      plot.current.destroy();
      plot.current = null;
    };
  }, [names.join('\n'), scheme]);
  useEffect(() => plot.current?.setData(data), [times.at(-1), names.join('\n'), scheme]);

  return html`
    <figure class="chart">
      <figcaption>${title}</figcaption>
      <div class="plot" ref=${box} aria-hidden="true"></div>
      <ul class="legend" aria-label=${`${title}: now`}>${names.length === 0 ? html`<li class="faint">nothing yet</li>` : names.map((name, index) => html`
        <li key=${name}><i class=${`swatch series-${index + 1}`} aria-hidden="true"></i><span title=${name}>${name}</span> <b class="number">${write(values[index].findLast((value) => value !== null) ?? 0)}</b></li>`)}</ul>
    </figure>`;
}

/**
 * The lines with the most in them, the rest as one. Those shown `before` stay, so that colours do not jump; their order is
 * that of their names.
 */
function chosenLines(lines, length, before) {
  const sum = (values) => values.reduce((total, value) => total + (value ?? 0), 0);
  const all = Object.entries(lines).filter(([, values]) => sum(values) > 0);
  const ranked = all.sort((left, right) => before.includes(right[0]) - before.includes(left[0]) || sum(right[1]) - sum(left[1]));
  const kept = ranked.slice(0, all.length > seriesMax ? seriesMax - 1 : seriesMax);
  const rest = ranked.slice(kept.length);
  kept.sort(([left], [right]) => (left < right ? -1 : 1));
  if (rest.length > 0) kept.push(['others', Array.from({ length }, (_, index) => rest.reduce((total, [, values]) => total + (values[index] ?? 0), 0))]);
  return { names: kept.map(([name]) => name), values: kept.map(([, values]) => values) };
}

/** 'light' or 'dark', followed as the system changes. */
function useScheme() {
  const query = useRef(null);
  query.current ??= matchMedia('(prefers-color-scheme: dark)');
  const [dark, setDark] = useState(query.current.matches);
  useEffect(() => {
    const follow = (event) => setDark(event.matches);
    query.current.addEventListener('change', follow);
    return () => query.current.removeEventListener('change', follow);
  }, []);
  return dark ? 'dark' : 'light';
}
