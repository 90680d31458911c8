// The summary page: counts of what is in the table, and live charts of what /metrics tells while the page is open.

import { ask, askText } from './api.js';
import { Chart } from './chart.js';
import { bytesText, countText } from './format.js';
import { chartRows, MetricsHistory } from './history.js';
import { html, useEffect, useRef, useState } from './html.js';
import { parseMetrics } from './metrics-text.js';

const readMs = 2_000;
/** Rows of a breakdown in sight; the others wait behind a click. */
const shownMax = 7;

const writers = {
  count: countText,
  rate: (value) => (value >= 100 ? countText(value) : String(Number(value.toFixed(2)))),
  bytes: (value) => `${bytesText(value)}/s`,
};

export function SummaryView() {
  const history = useRef(null);
  history.current ??= new MetricsHistory();
  const [summary, setSummary] = useState(null);
  const [fault, setFault] = useState(null);
  useEffect(() => {
    const ending = new AbortController();
    const read = async () => {
      while (!ending.signal.aborted) {
        try {
          const [counts, text] = await Promise.all([ask('GET', '/api/summary', { signal: ending.signal }), askText('/metrics', { signal: ending.signal })]);
          history.current.add(parseMetrics(text), Date.now() / 1000);
          setSummary(counts);
          setFault(null);
        } catch (caught) {
          if (!ending.signal.aborted) setFault(caught);
        }
        await new Promise((resolve) => setTimeout(resolve, readMs));
      }
    };
    void read();
    return () => ending.abort();
  }, []);
  const { times, lines } = history.current;
  return html`
    <h1>Summary</h1>
    ${fault !== null && html`<p class="fault" role="alert">${fault.message}</p>`}
    ${summary !== null && html`
      <ul class="tiles" aria-label="Now">
        <${Tile} name="active sessions" value=${countText(summary.active)} href="#/sessions?state=active" />
        <${Tile} name="ended per second" value=${writers.rate(summary.rates.sessions)} />
        <${Tile} name="bytes per second" value=${bytesText(summary.rates.bytes)} />
        <${Tile} name="errored in the table" value=${countText(summary.byState.errored ?? 0)} href="#/sessions?state=errored" />
      </ul>
      ${summary.truncated && html`<p class="advice">A worker did not answer in time; its sessions are missing here.</p>`}
      <div class="breakdowns">
        <${Breakdown} title="By protocol" counts=${summary.byProtocol} filter="protocol" exact=${{ https: 'https-h1' }} />
        <${Breakdown} title="By action" counts=${summary.byAction} filter="action" />
        <${Breakdown} title="By error" counts=${summary.byError} filter="error" />
      </div>`}
    <div class="charts">${chartRows.map(({ key, title, unit }) => html`<${Chart} key=${key} title=${title} times=${times} lines=${lines[key]} write=${writers[unit]} unit=${unit} />`)}</div>`;
}

function Tile({ name, value, href = null }) {
  const body = html`<strong>${value}</strong> <span>${name}</span>`;
  return html`<li>${href === null ? body : html`<a href=${href}>${body}</a>`}</li>`;
}

/** Counts by word, each a link to its sessions. `exact` names the filter word where the shown one stands for more. */
function Breakdown({ title, counts, filter, exact = {} }) {
  const rows = Object.entries(counts).sort((left, right) => right[1] - left[1]);
  const most = Math.max(1, ...rows.map(([, count]) => count));
  const list = (some) => html`<ul>${some.map(([word, count]) => html`
    <li key=${word}><a href=${`#/sessions?${filter}=${exact[word] ?? word}`}>${word}</a>
      <meter min="0" max=${most} value=${count} aria-hidden="true"></meter><span class="number">${countText(count)}</span></li>`)}</ul>`;
  return html`
    <section class="breakdown"><h2>${title}</h2>
      ${rows.length === 0 && html`<p class="faint">none</p>`}
      ${list(rows.slice(0, shownMax))}
      ${rows.length > shownMax && html`<details><summary>${rows.length - shownMax} more</summary>${list(rows.slice(shownMax))}</details>`}
    </section>`;
}
