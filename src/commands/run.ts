// `sallyport run`: starts the gateway, prints how to trust its CA and a curl line that works, and ends it on SIGTERM or SIGINT.

import { parseArgs } from 'node:util';
import type { Config } from '../config/schema.ts';
import { createLogger } from '../core/log.ts';
import { startGateway } from '../gateway.ts';
import type { Gateway } from '../gateway.ts';
import { activatedSockets } from '../listener/activation.ts';
import { serviceManager } from '../notify.ts';
import { readConfig } from './config-file.ts';

const help = `Usage: ./sallyport run [-c FILE] [--extra-ca FILE ...]

  -c, --config FILE   the config; without it a safe built-in config that needs no root
  --extra-ca FILE     further roots (PEM) to check servers against`;

/** Runs until a signal ends it. Exit codes: 0 after an orderly end, 1 failed at run time, 2 bad usage or config. */
export async function run(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args, options: { config: { type: 'string', short: 'c' }, 'extra-ca': { type: 'string', multiple: true }, help: { type: 'boolean', short: 'h' } },
  });
  if (values.help === true) {
    process.stdout.write(`${help}\n`);
    return 0;
  }
  const file = await readConfig(values.config);
  if (file === null) return 2;
  const { config } = file.ready;
  const log = createLogger(config.logging.level);
  // Signals may come before everything is up: a reload then has nothing to do, an end waits for the start.
  let gateway: Gateway | null = null;
  const manager = serviceManager(process.env);
  process.on('SIGHUP', () => {
    manager.tell('RELOADING=1', `MONOTONIC_USEC=${String(process.hrtime.bigint() / 1000n)}`);
    void gateway?.reload().finally(() => manager.tell('READY=1'));
  });
  process.on('SIGUSR2', () => void gateway?.reopenLogs().catch((error: unknown) => log.error({ err: error }, 'logs could not be reopened')));
  const end = ended();
  const activated = activatedSockets(process.env, process.pid);
  for (const name of activated.keys()) if (!config.services.some((service) => service.name === name)) log.warn({ name }, 'the service manager hands over a socket that no service is named after: it is left alone');
  gateway = await startGateway({ ...file, extraCa: values['extra-ca'] ?? [], activated, log });
  process.stdout.write(`${welcome(config, gateway)}\n`);
  manager.tell('READY=1', 'STATUS=Taking connections');
  manager.startWatchdog();
  await end;
  log.info('draining');
  manager.tell('STOPPING=1', 'STATUS=Draining: sessions may end');
  await gateway.stop();
  manager.stopWatchdog();
  return 0;
}

/** Resolves at the first SIGTERM or SIGINT; a second one ends the process at once. */
function ended(): Promise<void> {
  return new Promise((resolve) => {
    let asked = false;
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.on(signal, () => {
        if (asked) process.exit(1);
        asked = true;
        resolve();
      });
    }
  });
}

function welcome(config: Config, gateway: Gateway): string {
  const issuer = gateway.certificates.issuerInfo();
  const ca = config.issuer.cert;
  const lines = [
    'Sallyport is up.',
    '',
    ...config.services.map(({ name, type, listen }) => `  ${type.padEnd(13)} ${hostPort(listen.host, gateway.ports[name] ?? listen.port)}  (${name})`),
    `  console       http://${hostPort(config.admin.listen.host, gateway.adminPort)}/`,
    `  CRL and OCSP  http://${hostPort(config.issuer.crl.listen.host, gateway.revocationPort)}/`,
    '',
    `Clients must trust its CA: ${ca}`,
    `  SHA-256 ${issuer.fingerprint}`,
    `  or fetch it: http://${hostPort(config.admin.listen.host, gateway.adminPort)}/ca.pem`,
  ];
  const proxy = config.services.find(({ type }) => type === 'http-explicit');
  if (proxy !== undefined) {
    lines.push('', 'Try it:', `  curl --cacert ${ca} -x http://${hostPort(proxy.listen.host, gateway.ports[proxy.name] ?? proxy.listen.port)} https://example.com/`);
  }
  return lines.join('\n');
}

/** An address as people type it; an unspecified one as loopback. */
function hostPort(host: string, port: number): string {
  const shown = host === '::' || host === '0.0.0.0' ? '127.0.0.1' : host;
  return `${shown.includes(':') ? `[${shown}]` : shown}:${String(port)}`;
}
