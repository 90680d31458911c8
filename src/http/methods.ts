// The registered HTTP methods, for detection of long lines and as the closed set of the metric label. Messages with any
// other token as method are forwarded all the same.

/** IANA's method registry (RFC 9110 section 16.1.1) and those of Windows services (RPC over HTTP, BITS) seen in this field. */
const registered = [
  'GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'CONNECT', 'OPTIONS', 'TRACE', 'PATCH', 'ACL', 'BASELINE-CONTROL', 'BIND', 'CHECKIN', 'CHECKOUT',
  'COPY', 'LABEL', 'LINK', 'LOCK', 'MERGE', 'MKACTIVITY', 'MKCALENDAR', 'MKCOL', 'MKREDIRECTREF', 'MKWORKSPACE', 'MOVE', 'ORDERPATCH',
  'PROPFIND', 'PROPPATCH', 'QUERY', 'REBIND', 'REPORT', 'SEARCH', 'UNBIND', 'UNCHECKOUT', 'UNLINK', 'UNLOCK', 'UPDATE', 'UPDATEREDIRECTREF',
  'VERSION-CONTROL', 'RPC_IN_DATA', 'RPC_OUT_DATA', 'RPC_CONNECT', 'BITS_POST', 'CCM_POST', 'SUBSCRIBE', 'UNSUBSCRIBE', 'NOTIFY', 'POLL',
  'BDELETE', 'BCOPY', 'BMOVE', 'BPROPFIND', 'BPROPPATCH', 'X-MS-ENUMATTS',
] as const;

const methods: ReadonlySet<string> = new Set(registered);

/** Whether a method is of the registered set. */
export function isMethod(method: string): boolean {
  return methods.has(method);
}

/** The metric label for a method: itself, or `other`. */
export function methodLabel(method: string): string {
  return methods.has(method) ? method : 'other';
}

/** The metric label for a status: its class such as `2xx`, or `none` for a request that was never answered. */
export function statusLabel(status: number): string {
  return statusClasses[Math.trunc(status / 100)] ?? 'none';
}

const statusClasses = ['none', '1xx', '2xx', '3xx', '4xx', '5xx'] as const;
