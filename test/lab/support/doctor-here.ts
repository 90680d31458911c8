// Run by test/lab/net.test.ts inside the gateway's namespace: `sallyport net` and `sallyport doctor` with plain data in place of a config
// file. Arguments: redirect|tproxy, then `net ACTION` or `doctor [OPTION ...]`.

import { run as doctor } from '../../../src/commands/doctor.ts';
import { run as net } from '../../../src/commands/net.ts';
import { systemTools } from '../../../src/net/apply.ts';
import { netPlan } from '../../../src/net/plan.ts';
import type { NetService } from '../../../src/net/plan.ts';

const [acquire, command, ...args] = process.argv.slice(2);
const services: NetService[] = [{ name: 'https', type: 'ssl', listen: { host: '::', port: 8443 }, acquire: acquire === 'tproxy' ? 'tproxy' : 'redirect', intercept: null }];
const words = {
  tools: systemTools(10_000),
  print: (line: string): void => void process.stdout.write(`${line}\n`),
  complain: (line: string): void => void process.stderr.write(`${line}\n`),
};
const wants = { plan: netPlan(services), caFile: '/nonexistent/ca.pem', crlUrls: [], dnsServers: ['127.0.0.1:1'], stunServer: null, sessionsMax: 10 };
process.exitCode = command === 'net' ? await net(args, { services, ...words }) : await doctor(['--json', ...args], { wants, probeMs: 300, ...words });
