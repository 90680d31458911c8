// Runs the demo's clients in a process of its own (another network namespace) and prints their reports as JSON: `node demo/visit.ts PLAN.json`.

import { readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { runClients } from './clients.ts';
import { readPlan } from './plan.ts';

const plan = await readPlan(process.argv[2]);
const exchanges = await runClients({
  at: plan.at, dial: async ({ host, port }) => connect({ host, port }), gatewayCa: await readFile(plan.gatewayCa, 'utf8'),
  internetCa: plan.root.cert, clientIdentity: plan.client,
});
process.stdout.write(JSON.stringify(exchanges));
