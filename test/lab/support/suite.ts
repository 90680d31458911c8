// How a lab test file is set up: one lab with its certificates for the file, gateways as its suites want them, outputs of all programs
// beside a failed test, and everything gone at the end.

import { afterAll, afterEach, beforeAll, describe } from 'vitest';
import { isRoot } from '../../support/apt.ts';
import { makeCertificates, type LabCertificates } from './certificates.ts';
import type { ConfigChanges } from './config.ts';
import { Gateway } from './gateway.ts';
import { makeLab, type Lab } from './lab.ts';

/** What tests of a file reach; valid inside hooks and tests only. */
export interface LabFile {
  readonly lab: Lab;
  readonly certificates: LabCertificates;
}

/**
 * A lab test file. Without root it is skipped, and says so; as root a missing program is a failure, because its test fails.
 * `servers` starts what the file needs in the server host.
 */
export function labFile(title: string, servers: (file: LabFile) => Promise<void>, tests: (file: LabFile) => void): void {
  if (!isRoot) console.log(`lab: ${title}: skipped, network namespaces need root`);
  describe.runIf(isRoot)(title, () => {
    let made: LabFile | null = null;
    const file: LabFile = {
      get lab() { return present(made).lab; },
      get certificates() { return present(made).certificates; },
    };
    beforeAll(async () => {
      const lab = await makeLab();
      made = { lab, certificates: makeCertificates(lab.folder) };
      await servers(made);
    });
    afterEach((context) => {
      if (context.task.result?.state !== 'fail' || made === null) return;
      const { client, gateway, server } = made.lab;
      console.log(`outputs at the failure of ${context.task.name}\n${[gateway, server, client].map((host) => host.outputs()).join('\n')}`);
    });
    afterAll(async () => {
      await made?.lab.close();
      made = null;
    });
    tests(file);
  });
}

/** A gateway for the suite this is called in: started before its tests, held to a clean end after them. */
export function gatewayFor(file: LabFile, changes: ConfigChanges): { readonly gateway: Gateway } {
  let gateway: Gateway | null = null;
  beforeAll(async () => {
    gateway = await Gateway.start(file.lab, file.certificates, changes);
  });
  afterAll(async () => {
    await gateway?.stop();
    gateway = null;
  });
  return { get gateway() { return present(gateway); } };
}

function present<T>(value: T | null): T {
  if (value === null) throw new Error('only inside hooks and tests');
  return value;
}
