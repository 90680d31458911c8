// Reads the Prometheus text of /metrics into sums by label, as far as the charts need. Pure.

/** Series of a text: name, labels, value. Lines that are not series are passed over. */
export function parseMetrics(text) {
  const series = [];
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('#')) continue;
    const match = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (match === null) continue;
    const value = Number(match[3]);
    if (Number.isFinite(value)) series.push({ name: match[1], labels: labelsOf(match[2] ?? ''), value });
  }
  return series;
}

/** Sums of one metric by the value of a label; without a label, the sum under ''. */
export function sumBy(series, name, label = null) {
  const sums = {};
  for (const one of series) {
    if (one.name !== name) continue;
    const key = label === null ? '' : (one.labels[label] ?? '');
    sums[key] = (sums[key] ?? 0) + one.value;
  }
  return sums;
}

/** What a counter gained per second between two readings; a counter that fell began anew. */
export function ratesOf(before, after, seconds) {
  const rates = {};
  for (const [key, value] of Object.entries(after)) {
    const last = before[key] ?? 0;
    rates[key] = (value >= last ? value - last : value) / seconds;
  }
  return rates;
}

function labelsOf(text) {
  const labels = {};
  for (const [, name, value] of text.matchAll(/([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"/g)) {
    labels[name] = value.replace(/\\(.)/g, (_, character) => (character === 'n' ? '\n' : character));
  }
  return labels;
}
