// A worker for remote-view.test.ts: a table of its own served over the IPC channel, and metrics beside it.

import { limitsWith } from '../../../src/core/limits.ts';
import { channelTo } from '../../../src/sessions/channel.ts';
import { createMeter } from '../../../src/sessions/metrics.ts';
import { serveMetrics } from '../../../src/sessions/metrics-text.ts';
import { serveView } from '../../../src/sessions/remote-view.ts';
import { SessionTable } from '../../../src/sessions/table.ts';
import { localView } from '../../../src/sessions/view.ts';

const worker = process.argv[2] ?? '1';
const limits = limitsWith();
const meters = createMeter({ worker, limits, services: ['https'], processMetrics: true });
const table = new SessionTable({ worker, limits, meter: meters.meter });
for (let count = 0; count < 5; count += 1) {
  const session = table.open(
    { service: 'https', client: { ip: '10.0.0.1', port: count }, destination: { ip: '192.0.2.1', port: 443, host: null } },
    { bytes: () => ({ fromClient: count, toClient: 0, fromUpstream: 0, toUpstream: 0 }), kill: () => table.close(session, 'KILLED_BY_OPERATOR') },
  );
  session.protocol = count % 2 === 0 ? 'sips' : 'ms-turn';
  table.protocolChanged(session);
}
const channel = channelTo(process);
serveView(localView(table), channel);
serveMetrics(meters.read, channel);
channel.send({ ready: true });
