// What operators wait for with 10,000 sessions in the table: a page of the API, and a filter of the console from the change of the address to the
// frame that shows the rows, in a real Chromium. A real gateway that carries no traffic; what is to be reached stands beside what was.

import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'undici';
import { limitsWith } from '../src/core/limits.ts';
import { silentLogger } from '../src/core/log.ts';
import { noMeter } from '../src/core/meters.ts';
import type { ProtocolName } from '../src/core/protocols.ts';
import { SessionHistory } from '../src/sessions/history.ts';
import { SessionTable } from '../src/sessions/table.ts';
import { chromiumPath, openBrowser } from '../test/support/browser.ts';
import { startProgram } from '../test/support/program.ts';
import { freePort } from './free-port.ts';
import { columns } from './report.ts';
import type { PartReport } from './report.ts';
import { quantile } from './statistics.ts';

interface ConsoleEffort {
  readonly sessions: number;
  readonly rounds: number;
}

const full: ConsoleEffort = { sessions: 10_000, rounds: 30 };
const smoke: ConsoleEffort = { sessions: 500, rounds: 2 };
/** The first answers are those of code that V8 has not compiled yet: not what an open console meets. */
const warmUps = 5;
/** To be reached with 10,000 sessions. */
const targetsMs = { api: 20, page: 100 } as const;
const startMs = 30_000;

/** What is asked for: all, one protocol, a group, a state, a text that is looked for everywhere, a network. */
const filters = ['', 'protocol=sips', 'protocol=ms-turn', 'protocol=http-any', 'state=errored', 'q=bob17', 'client=10.0.3.0/24&state=closed'] as const;
const protocols: readonly ProtocolName[] = ['https', 'h2', 'sips', 'ms-turn', 'tls', 'unknown'];

/** Measures and answers the table; `isSmoke`: with few sessions and rounds, to show that it works. */
export async function benchConsole(isSmoke: boolean): Promise<PartReport> {
  const effort = isSmoke ? smoke : full;
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-bench-console-'));
  const [admin, proxy, revocation] = await Promise.all([freePort(), freePort(), freePort()]);
  fill(join(folder, 'state'), effort.sessions);
  await writeFile(join(folder, 'config.yaml'), `state: state\nworkers: 2\nadmin: { listen: '127.0.0.1:${admin}' }\nissuer: { crl: { listen: '127.0.0.1:${revocation}' } }
services: [ { name: proxy, type: http-explicit, listen: '127.0.0.1:${proxy}' } ]\n`);
  const gateway = startProgram('gateway', [process.execPath, join(import.meta.dirname, '../src/cli.ts'), 'run', '-c', join(folder, 'config.yaml')], { logFile: join(folder, 'gateway.log') });
  try {
    await gateway.waitForOutput(/Sallyport is up/, startMs);
    const base = `http://127.0.0.1:${admin}`;
    const api = await measureApi(base, effort);
    const page = existsSync(chromiumPath) ? await measurePage(base, folder, effort) : null;
    return { text: reportText(effort, api, page), missed: [] };
  } finally {
    await gateway.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

/** Milliseconds by filter. */
type Times = ReadonlyMap<string, readonly number[]>;

function reportText({ sessions, rounds }: ConsoleEffort, api: Times, page: Times | null): string {
  const rows = (what: string, times: Times, target: number): string[][] => [...times].map(([filter, list]) => {
    const median = quantile(list, 0.5);
    return [`${what}, ${filter === '' ? 'no filter' : filter}`, median.toFixed(1), quantile(list, 0.95).toFixed(1), Math.max(...list).toFixed(1), `${target} ${median < target ? 'met' : 'missed'}`];
  });
  return [
    `Console: what an operator waits for with ${sessions} sessions in the table, ${rounds} rounds`,
    columns([['', 'ms', 'p95', 'highest', 'below'], ...rows('API page of 200', api, targetsMs.api), ...(page === null ? [] : rows('filter in the page', page, targetsMs.page))]),
    ...(page === null ? [`${chromiumPath} is not installed: the page was not measured`] : []),
  ].join('\n');
}

async function measureApi(base: string, { rounds }: ConsoleEffort): Promise<Times> {
  const client = new Client(base);
  try {
    return await inTurns(rounds, async (filter) => {
      const started = performance.now();
      const { statusCode, body } = await client.request({ method: 'GET', path: `/api/sessions?${filter === '' ? '' : `${filter}&`}limit=200` });
      const text = await body.text();
      const took = performance.now() - started;
      if (statusCode !== 200 || text.length < 1_000) throw new Error(`/api/sessions?${filter}: ${statusCode} ${text}`);
      return took;
    });
  } finally {
    await client.close();
  }
}

async function measurePage(base: string, folder: string, { rounds }: ConsoleEffort): Promise<Times> {
  const browser = await openBrowser({ namespace: null, folder });
  try {
    await browser.page.goto(`${base}/#/sessions`);
    await browser.page.locator('tbody [role=row]').first().waitFor();
    const times = await inTurns(rounds, async (filter) => {
      const total: unknown = await browser.page.evaluate(`fetch('/api/sessions?${filter === '' ? '' : `${filter}&`}limit=1').then((answer) => answer.json()).then(({ total }) => total)`);
      // Something else in between, so that each filter is a change.
      await browser.page.evaluate(shownAfter('q=nothing-has-this-text', 0));
      const took: unknown = await browser.page.evaluate(shownAfter(filter, Number(total)));
      return Number(took);
    });
    if (browser.complaints.length > 0) throw new Error(browser.complaints.join('\n'));
    return times;
  } finally {
    await browser.close();
  }
}

/** Script: sets the filter and answers the milliseconds until a frame shows its number of sessions, and rows where it has some. */
function shownAfter(filter: string, total: number): string {
  return `new Promise((resolve, reject) => {
    const started = performance.now();
    location.hash = ${JSON.stringify(`#/sessions${filter === '' ? '' : `?${filter}`}`)};
    const look = () => {
      const text = (document.querySelector('.list [role=status]')?.textContent ?? '').replaceAll(/(\\d)\\D(?=\\d{3})/g, '$1');
      const rows = document.querySelectorAll('tbody [role=row]').length;
      if (new RegExp('(^|\\\\D)' + ${JSON.stringify(String(total))} + '(\\\\D|$)').test(text) && (rows > 0) === ${String(total > 0)}) resolve(performance.now() - started);
      else if (performance.now() - started > 10_000) reject(new Error('the page says ' + text));
      else requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
  })`;
}

/** Every filter once in each round. */
async function inTurns(rounds: number, run: (filter: string) => Promise<number>): Promise<Times> {
  const times = new Map(filters.map((filter): [string, number[]] => [filter, []]));
  for (let round = -warmUps; round < rounds; round += 1) {
    for (const filter of filters) {
      const took = await run(filter);
      if (round >= 0) times.get(filter)?.push(took);
    }
  }
  return times;
}

/** Sessions as a gateway has them after a day, put into its state as if it had closed them itself. */
function fill(folder: string, count: number): void {
  const limits = limitsWith();
  const history = new SessionHistory({ folder, worker: 'w1', limits, log: silentLogger });
  let now = Date.now() - count * 1_000;
  const table = new SessionTable({ worker: 'w1', limits, meter: noMeter, history, clock: () => now });
  for (let index = 0; index < count; index += 1) {
    now += 1_000;
    const bytes = { fromClient: 900 + index, toClient: 4_000 + index, fromUpstream: 3_900 + index, toUpstream: 950 + index };
    const session = table.open({
      service: 'https', client: { ip: `10.0.${index % 8}.${index % 250}`, port: 30_000 + (index % 30_000) },
      destination: { ip: `192.0.2.${index % 250}`, port: 443, host: null }, sni: `host${index % 700}.contoso.com`,
    }, { bytes: () => bytes, kill() {} });
    const protocol = protocols[index % protocols.length] ?? 'unknown';
    session.protocol = protocol;
    session.chain = ['tls', protocol];
    session.action = protocol === 'tls' ? 'tunnel' : 'intercept';
    session.rule = 'ssl/intercept';
    session.ja4 = 't13d1516h2_8daaf6152771_02713d6af862';
    if (protocol === 'https' || protocol === 'h2') session.details.http = { requests: 4, method: 'GET', host: `host${index % 700}.contoso.com`, status: 200, upgraded: null };
    if (protocol === 'sips') {
      session.details.sip = {
        registrations: [{ aor: `sip:bob${index % 300}@contoso.com`, contact: null, userAgent: 'UCCAPI/16.0', expiresSeconds: 600, state: 'registered', scheme: 'NTLM', epid: '0123456789', offered: ['NTLM'], rounds: 2 }],
        dialogs: [], methods: { REGISTER: 3, SUBSCRIBE: 4 }, statuses: { 200: 5, 401: 2 }, keepAlives: 12, opaque: null,
      };
    }
    table.close(session, index % 11 === 0 ? 'CLIENT_REJECTED_CERT' : null);
  }
  history.close();
}
