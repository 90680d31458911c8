// Figures of the gateway over the time that the summary page is open: readings of /metrics turned into lines for charts.
// Bounded; pure but for what it is handed.

import { ratesOf, sumBy } from './metrics-text.js';

/** Readings kept: 30 minutes at one every two seconds. */
export const readingsMax = 900;

/** What charts show. `metric` counters become a rate per second, gauges are shown as they are. */
export const chartRows = [
  { key: 'active', title: 'Sessions now, by protocol', metric: 'sallyport_sessions_active', label: 'protocol', rate: false, unit: 'count' },
  { key: 'ended', title: 'Sessions ended per second, by protocol', metric: 'sallyport_sessions_total', label: 'protocol', rate: true, unit: 'rate' },
  { key: 'bytes', title: 'Bytes per second of ended sessions, by protocol', metric: 'sallyport_session_bytes_total', label: 'protocol', rate: true, unit: 'bytes' },
  { key: 'handshakes', title: 'TLS handshakes per second, by side', metric: 'sallyport_handshake_seconds_count', label: 'side', rate: true, unit: 'rate' },
  { key: 'failures', title: 'Handshakes that failed per second, by error', metric: 'sallyport_handshake_failures_total', label: 'error', rate: true, unit: 'rate' },
  { key: 'errors', title: 'Sessions with errors per second, by code', metric: 'sallyport_sessions_total', label: 'error', rate: true, unit: 'rate' },
  { key: 'sip', title: 'SIP registrations and calls', metric: null, parts: { registrations: 'sallyport_sip_registrations', dialogs: 'sallyport_sip_dialogs' }, rate: false, unit: 'count' },
  { key: 'turn', title: 'TURN allocations, by protocol', metric: 'sallyport_turn_allocations', label: 'protocol', rate: false, unit: 'count' },
];

export class MetricsHistory {
  /** Seconds since the epoch, one for each reading after the first. */
  times = [];
  /** Lines by chart key. */
  lines = Object.fromEntries(chartRows.map(({ key }) => [key, {}]));
  #last = null;

  /** Takes a reading: parsed series and when they were read. */
  add(series, seconds) {
    const sums = Object.fromEntries(chartRows.map((row) => [row.key, sumsOf(series, row)]));
    const last = this.#last;
    this.#last = { sums, seconds };
    if (last === null || seconds <= last.seconds) return;
    this.times.push(seconds);
    for (const { key, rate } of chartRows) {
      const values = rate ? ratesOf(last.sums[key], sums[key], seconds - last.seconds) : sums[key];
      this.#put(this.lines[key], values);
    }
    if (this.times.length > readingsMax) this.#forget();
  }

  #put(lines, values) {
    for (const name of new Set([...Object.keys(lines), ...Object.keys(values)])) {
      if (name === '') continue;
      lines[name] ??= Array.from({ length: this.times.length - 1 }, () => null);
      lines[name].push(values[name] ?? null);
    }
  }

  #forget() {
    this.times.shift();
    for (const lines of Object.values(this.lines)) {
      for (const [name, values] of Object.entries(lines)) {
        values.shift();
        if (values.every((value) => value === null)) delete lines[name];
      }
    }
  }
}

function sumsOf(series, { metric, label, parts }) {
  if (parts === undefined) return sumBy(series, metric, label);
  return Object.fromEntries(Object.entries(parts).map(([name, part]) => [name, sumBy(series, part)[''] ?? 0]));
}
