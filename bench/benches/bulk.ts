// Many bytes on one connection: a download and an upload that are intercepted, and a download whose TLS is passed on unopened.

import type { Bench, Work } from '../bench.ts';
import { download, upload } from '../clients.ts';
import { origins } from '../origins.ts';
import { haproxy } from '../peers/haproxy.ts';
import { mitmproxy } from '../peers/mitmproxy.ts';
import { mockttp } from '../peers/mockttp.ts';
import { sallyport } from '../peers/sallyport.ts';
import { squid } from '../peers/squid.ts';
import { sslsplit } from '../peers/sslsplit.ts';
import type { Site } from '../site.ts';
import { charged } from './cpu.ts';

/** What figures are per, whatever was moved. */
const unitMiB = 256;
const miB = 1024 * 1024;
/** The name of the throughput beside the CPU. */
export const throughput = 'MiB per second';

const interceptors = [sallyport(), sallyport({ variant: 'opaque relay', ssl: 'relay' }), sslsplit(), squid(), mitmproxy(), mockttp, haproxy(origins.plain)];
const relays = [
  sallyport({ ssl: 'tunnel' }), sslsplit({ tunnels: true }), squid({ tunnels: true }), mitmproxy({ tunnels: true }), haproxy(origins.plain, { tunnels: true }),
];

const common = { unit: `ms CPU per ${String(unitMiB)} MiB`, freshInstance: false };

export const downloads: Bench = {
  ...common, ...transfers(download),
  name: 'download',
  title: `Download of ${String(unitMiB)} MiB`,
  about: 'one large download, intercepted: CPU and throughput',
  contestants: interceptors.map((peer) => ({ peer })),
};

export const uploads: Bench = {
  ...common, ...transfers(upload),
  name: 'upload',
  title: `Upload of ${String(unitMiB)} MiB`,
  about: 'one large upload, intercepted: CPU and throughput',
  contestants: interceptors.map((peer) => ({ peer })),
};

export const tunnelled: Bench = {
  ...common, ...transfers(download),
  name: 'tunnel',
  title: `Download of ${String(unitMiB)} MiB through a tunnel (TLS not opened)`,
  about: 'one large download that policy tunnels, beside proxies that do not open TLS either',
  contestants: relays.map((peer) => ({ peer })),
};

function transfers(run: (site: Site) => Promise<number>): Work {
  return {
    warmUp: async (site) => void await run(site),
    async measure(site, instance) {
      const { result: seconds, ms } = await charged(instance, () => run(site));
      const moved = site.origin.bulkBytes / miB;
      return { value: (ms * unitMiB) / moved, aside: { [throughput]: moved / seconds } };
    },
  };
}
