// The table of metrics: names, kinds, labels and what each tells. sessions/metrics.ts binds it to prom-client;
// docs/metrics.md is generated from it. Labels hold only words of closed sets (never a name, address or URL).

interface MeterRow {
  readonly kind: 'counter' | 'gauge' | 'histogram';
  readonly labels: readonly string[];
  readonly help: string;
}

const counter = (labels: readonly string[], help: string): MeterRow => ({ kind: 'counter', labels, help });
const gauge = (labels: readonly string[], help: string): MeterRow => ({ kind: 'gauge', labels, help });
const histogram = (labels: readonly string[], help: string): MeterRow => ({ kind: 'histogram', labels, help });

/** Metrics without the prefix `sallyport_`. */
export const meterTable = {
  sessions_total: counter(['service', 'protocol', 'action', 'error'], 'Sessions that have ended; error is empty where none happened.'),
  sessions_active: gauge(['service', 'protocol'], 'Sessions now.'),
  session_bytes_total: counter(['protocol', 'direction'], 'Bytes of ended sessions, read off the sockets.'),
  session_duration_seconds: histogram(['protocol'], 'Length of ended sessions.'),
  handshake_seconds: histogram(['side'], 'TLS handshakes that succeeded, by side (client, upstream).'),
  handshake_failures_total: counter(['side', 'error'], 'TLS handshakes that failed.'),
  handshakes_resumed_total: counter(['side'], 'TLS handshakes that resumed an earlier session, by side.'),
  detect_seconds: histogram([], 'Time from accept to a detected protocol.'),
  certificates_issued_total: counter(['key'], 'Emulated certificates made, by key type.'),
  certificate_cache_total: counter(['result'], 'Look-ups of emulated certificates: hit, miss, wait.'),
  crl_next_update_timestamp_seconds: gauge(['issuer'], 'When the served CRL runs out.'),
  crl_requests_total: counter([], 'CRLs served.'),
  ocsp_requests_total: counter(['status'], 'OCSP requests answered, by status.'),
  tunnelled_on_error_total: counter(['error'], 'Flows tunnelled because of an error before the client was answered.'),
  learned_bypasses: gauge([], 'Bypasses learned and in force.'),
  http_requests_total: counter(['protocol', 'method', 'status'], 'HTTP requests; status by class.'),
  http_request_seconds: histogram(['protocol'], 'From a request head to the end of its response.'),
  sip_messages_total: counter(['protocol', 'kind', 'name'], 'SIP messages; kind request or response, name method or status class.'),
  sip_registrations: gauge([], 'SIP registrations in force.'),
  sip_dialogs: gauge([], 'SIP dialogs in progress.'),
  turn_messages_total: counter(['protocol', 'type'], 'TURN and STUN messages and data frames by type.'),
  turn_allocations: gauge(['protocol'], 'TURN allocations in force.'),
  turn_relayed_bytes_total: counter(['protocol', 'direction'], 'Payload carried in TURN data.'),
  policy_decisions_total: counter(['stage', 'action'], 'Policy decisions.'),
  limits_hit_total: counter(['limit'], 'How often a limit of docs/config.md was hit.'),
  internal_errors_total: counter([], 'Defects of the gateway; 0 in every lab run.'),
} as const satisfies Record<string, MeterRow>;

export type MeterName = keyof typeof meterTable;

/** Where code counts. `labels` are the values in the table's order; all of them words of closed sets. */
export interface Meter {
  /** Adds to a counter or gauge (gauges take negative steps). */
  add(name: MeterName, labels?: readonly string[], step?: number): void;
  /** Sets a gauge. */
  set(name: MeterName, labels: readonly string[], value: number): void;
  /** Puts a number of seconds into a histogram. */
  observe(name: MeterName, labels: readonly string[], seconds: number): void;
}

/** A meter for code that runs outside a gateway (tools, tests of parsers). */
export const noMeter: Meter = { add() {}, set() {}, observe() {} };
