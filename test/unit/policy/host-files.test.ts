// policy/host-files.ts: files read once, faults by place.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadHostLists } from '../../../src/policy/host-files.ts';
import { rulesOf } from './support.ts';

describe('loadHostLists', () => {
  it('reads each file once, plain and under not, and says which rule names what is missing', () => {
    const folder = mkdtempSync(join(tmpdir(), 'lists-'));
    try {
      const file = join(folder, 'names.txt');
      writeFileSync(file, 'bank.example\nbad name\n');
      const rules = rulesOf({ ssl: [{ when: { file: [file, join(folder, 'gone.txt')] }, then: 'tunnel' }], http: [{ when: { not: { file } }, then: 'deny' }] });
      const { lists, faults } = loadHostLists(rules, 10);
      expect([...lists.keys()]).toEqual([file]);
      expect(faults.map(({ path }) => path)).toEqual(['policy.ssl[0].when.file', 'policy.ssl[0].when.file']);
      expect(faults[0]?.problem).toContain('names.txt line 2: not a host name: "bad name"');
      expect(faults[1]?.problem).toContain('cannot read');
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
