// Ten minutes of SIP: idle registrations held by keep-alives at the pace of phones, and SIPp's load meanwhile. Only `sallyport test soak` runs it.

import { whileHeld } from '../lab/support/held.ts';
import { startKamailio } from '../lab/support/peers/kamailio.ts';
import { startSippServer } from '../lab/support/peers/sipp.ts';
import { sippLoad } from '../lab/support/sipp-load.ts';
import { gatewayFor, labFile } from '../lab/support/suite.ts';

labFile('SIP for ten minutes', async ({ lab, certificates }) => {
  await startKamailio(lab.server, certificates.server);
  await startSippServer(lab.server, certificates.server);
}, (file) => {
  const at = gatewayFor(file, { mode: 'redirect', workers: 2, limits: { sipIdleMs: 120_000 } });
  whileHeld(file, at, { count: 50, holdMs: 600_000, pingMs: 60_000 }, () => {
    sippLoad(file, at, { callsPerSecond: 200, seconds: 300 });
  });
});
