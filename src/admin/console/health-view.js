// The health page: whether new flows are welcome and what is in the way, each worker's own figures, limits that were hit.

import { ApiError, ask, askText } from './api.js';
import { DataView } from './data-view.js';
import { bytesText, countText, spanText } from './format.js';
import { html, useEffect, useState } from './html.js';
import { parseMetrics, sumBy } from './metrics-text.js';

const refreshMs = 3_000;

export function HealthView({ api }) {
  const [health, setHealth] = useState(null);
  const [figures, setFigures] = useState(null);
  const [fault, setFault] = useState(null);
  const [reloaded, setReloaded] = useState(null);
  useEffect(() => {
    const look = async () => {
      try {
        setHealth(await readiness());
        setFigures(readFigures(parseMetrics(await askText('/metrics'))));
        setFault(null);
      } catch (caught) {
        setFault(caught);
      }
    };
    void look();
    const timer = setInterval(look, refreshMs);
    return () => clearInterval(timer);
  }, []);
  const reload = () => ask('POST', '/api/reload').then((answer) => setReloaded({ answer }), (caught) => setReloaded({ fault: caught.message }));
  return html`
    <h1>Health</h1>
    ${fault !== null && html`<p class="fault" role="alert">${fault.message}</p>`}
    ${health !== null && html`<p role="status"><span class=${`state ${health.ready ? 'active' : 'errored'}`}>${health.ready ? 'Ready' : 'Not ready'}</span></p>
      ${health.reasons.length > 0 && html`<ul class="fault">${health.reasons.map((reason) => html`<li key=${reason}>${reason}</li>`)}</ul>`}`}
    ${figures !== null && html`
      ${figures.internal > 0 && html`<p class="fault" role="alert">${countText(figures.internal)} internal errors: defects of the gateway; its log says more.</p>`}
      <h2>Processes</h2><${DataView} value=${figures.workers} caption="Each worker's own figures" />
      <h2>Limits hit</h2>${figures.limits.length === 0 ? html`<p class="faint">none</p>` : html`<${DataView} value=${figures.limits} caption="Limits of docs/config.md that were hit" />`}`}
    ${api.routes.has('POST /api/reload') && html`
      <h2>Configuration</h2>
      <p><button type="button" disabled=${!api.writes} onClick=${reload}>Reload</button> ${!api.writes && html`<span class="faint">Needs the token.</span>`}</p>
      ${reloaded !== null && (reloaded.fault === undefined ? html`<div role="status"><${DataView} value=${reloaded.answer} /></div>` : html`<p class="fault" role="alert">${reloaded.fault}</p>`)}`}`;
}

/** /readyz answers 503 with the reasons when it is not ready. */
async function readiness() {
  const response = await fetch('/readyz', { cache: 'no-store' }).catch(() => null);
  if (response === null) throw new ApiError(0, 'UNREACHABLE', 'The gateway does not answer.');
  return response.json();
}

function readFigures(series) {
  const by = (name) => sumBy(series, name, 'worker');
  const started = by('process_start_time_seconds');
  const cpu = by('process_cpu_seconds_total');
  const memory = by('process_resident_memory_bytes');
  const heap = by('nodejs_heap_size_used_bytes');
  const lag = by('nodejs_eventloop_lag_p99_seconds');
  const files = by('process_open_fds');
  const now = Date.now() / 1000;
  return {
    workers: Object.keys(started).sort((left, right) => left.localeCompare(right, 'en', { numeric: true })).map((worker) => ({
      worker,
      upFor: spanText((now - started[worker]) * 1000),
      cpuTime: spanText((cpu[worker] ?? 0) * 1000),
      memory: bytesText(memory[worker] ?? 0),
      heapUsed: bytesText(heap[worker] ?? 0),
      eventLoopLagP99: spanText((lag[worker] ?? 0) * 1000),
      openFiles: files[worker] ?? null,
    })),
    limits: Object.entries(sumBy(series, 'sallyport_limits_hit_total', 'limit')).filter(([, times]) => times > 0).map(([limit, times]) => ({ limit, times })),
    internal: sumBy(series, 'sallyport_internal_errors_total')[''] ?? 0,
  };
}
