// Runs the demo's servers in a process of its own (another network namespace): `node demo/serve.ts PLAN.json`.

import { readPlan } from './plan.ts';
import { DemoAuthority } from './identities.ts';
import { startPeers } from './peers.ts';

const plan = await readPlan(process.argv[2]);
await startPeers(plan.at, new DemoAuthority(plan.root));
process.stdout.write('serving\n');
