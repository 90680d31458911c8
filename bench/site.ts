// Where everything is measured: client, gateway and server hosts as network namespaces, the origins, one redirect of port 443 that is
// pointed at one proxy at a time. No packet leaves the namespaces.

import { appendFileSync, chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { issueServer, makeRoot } from '../test/support/certs.ts';
import { makeLab } from '../test/lab/support/lab.ts';
import type { Lab } from '../test/lab/support/lab.ts';
import type { Program } from '../test/support/program.ts';
import { withManyFiles } from './many-files.ts';
import { hostNames, originList, origins, startOrigins } from './origins.ts';
import type { OriginFiles } from './origins.ts';

/** The issuer that peers get; Sallyport makes its own. */
export interface Issuer {
  readonly certFile: string;
  readonly keyFile: string;
  /** Key and certificate in one file, as some peers want them. */
  readonly bundleFile: string;
  /** Key and a certificate of all origins' names below this issuer, for a proxy that makes none itself. */
  readonly staticBundleFile: string;
}

export interface Site {
  readonly lab: Lab;
  readonly origin: OriginFiles;
  readonly issuer: Issuer;
  /** A new folder for one instance of a proxy, readable by whatever user it becomes. */
  home(label: string): string;
  /** A port of the gateway host that nobody used before. */
  port(): number;
  /** Sends the client's connections to port 443 to a port of the gateway host from now on. */
  redirectTo(port: number): Promise<void>;
  /** Starts a proxy in the gateway host, with as many files as held connections need. */
  startProxy(label: string, command: readonly string[], options?: Parameters<Lab['gateway']['spawn']>[2]): Promise<Program>;
}

const firstPort = 8500;

/** Makes the hosts and starts the origins. The caller closes `lab`. */
export async function makeSite(bulkMiB: number): Promise<Site> {
  const lab = await makeLab();
  try {
    // Squid becomes a user of its own, who must get to its files.
    chmodSync(lab.folder, 0o711);
    await addOriginAddresses(lab);
    const origin = await startOrigins(lab, bulkMiB);
    await lab.gateway.mustRun(['nft', '-f', '-'], { input: 'table ip bench {\n chain prerouting {\n type nat hook prerouting priority dstnat\n }\n}\n' });
    let homes = 0;
    let ports = firstPort;
    return {
      lab, origin,
      issuer: makeIssuer(lab.folder),
      home(label) {
        homes += 1;
        const folder = join(lab.gateway.folder, `${label}-${String(homes)}`);
        mkdirSync(folder, { mode: 0o755 });
        return folder;
      },
      port: () => (ports += 1),
      redirectTo: (port) => redirectTo(lab, port),
      startProxy: (label, command, options) => lab.gateway.spawn(label, withManyFiles(command), options),
    };
  } catch (caught) {
    await lab.close();
    throw caught;
  }
}

async function addOriginAddresses({ client, gateway, server }: Lab): Promise<void> {
  const lines = originList.map(({ v4 }) => `address add ${v4}/24 dev wan\n`);
  await server.mustRun(['ip', '-batch', '-'], { input: lines.join('') });
  for (const { namespace } of [client, gateway]) appendFileSync(`/etc/netns/${namespace}/hosts`, hostNames());
}

async function redirectTo({ gateway }: Lab, port: number): Promise<void> {
  const rule = `add rule ip bench prerouting iifname "lan" tcp dport 443 redirect to :${String(port)}`;
  await gateway.mustRun(['nft', '-f', '-'], { input: `flush chain ip bench prerouting\n${rule}\n` });
}

function makeIssuer(folder: string): Issuer {
  const home = join(folder, 'issuer');
  mkdirSync(home, { mode: 0o755 });
  const write = (name: string, text: string): string => {
    const file = join(home, name);
    writeFileSync(file, text, { mode: 0o644 });
    return file;
  };
  const root = makeRoot('Sallyport bench issuer', { key: 'rsa' });
  const page = issueServer(root, { cn: origins.plain.name, names: originList.map(({ name }) => name), key: 'rsa' });
  return {
    certFile: write('ca.pem', root.certPem), keyFile: write('ca.key', root.keyPem), bundleFile: write('ca-bundle.pem', root.keyPem + root.certPem),
    staticBundleFile: write('page-bundle.pem', page.certPem + page.keyPem),
  };
}
