// How figures and times are written in the console. Pure.

/** 0 to 1023 as bytes, then with one decimal: 1.5 kB, 12 MB (powers of 1024). */
export function bytesText(bytes) {
  let value = bytes;
  let unit = 'B';
  for (const next of ['kB', 'MB', 'GB', 'TB']) {
    if (value < 1024) break;
    value /= 1024;
    unit = next;
  }
  return unit === 'B' || value >= 100 ? `${Math.round(value)} ${unit}` : `${value.toFixed(1)} ${unit}`;
}

/** A span as its two largest units: 120 ms, 3.5 s, 4 m 10 s, 2 h 05 m, 3 d 4 h. */
export function spanText(ms) {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
  const seconds = ms / 1000;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} m ${two(Math.floor(seconds % 60))} s`;
  const hours = Math.floor(minutes / 60);
  return hours < 24 ? `${hours} h ${two(minutes % 60)} m` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** Time of day, with the date when it is not today. */
export function timeText(ms, nowMs = Date.now()) {
  const time = new Date(ms);
  const clock = `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
  if (time.toDateString() === new Date(nowMs).toDateString()) return clock;
  return `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())} ${clock}`;
}

/** An address with port, IPv6 in brackets. */
export function addressText(host, port) {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Where a session goes: the name asked for, else the address. */
export function destinationText(session) {
  const { destination, sni } = session;
  return addressText(sni ?? destination.host ?? destination.ip ?? 'unknown', destination.port);
}

/** Class of a protocol's badge: families are told apart by colour besides the name. */
export function badgeClass(protocol) {
  if (protocol.startsWith('sip')) return 'badge sip';
  if (/turn|ssltcp/.test(protocol)) return 'badge turn';
  return /^(http|h2)/.test(protocol) ? 'badge web' : 'badge';
}

/** A count with thousands apart. */
export function countText(value) {
  return Math.round(value).toLocaleString('en');
}

function two(value) {
  return String(value).padStart(2, '0');
}
