// Reads the list files that a policy's `file` conditions name, each once; what is wrong with them is said by place.

import { readFileSync } from 'node:fs';
import { policyStages } from '../core/verdicts.ts';
import { parseHostList } from './host-list.ts';
import type { HostList } from './host-list.ts';
import type { PolicyRules } from './rules.ts';

/** A fault at a place of the policy, path such as `policy.ssl[0].when.file`. */
export interface PolicyFault {
  readonly path: string;
  readonly problem: string;
}

/**
 * Reads every file that `file` conditions name, each once. A file that cannot be read or has bad lines is a fault; its
 * list is then left out or short, and the policy must not be used.
 */
export function loadHostLists(rules: PolicyRules, namesMax: number, read: (file: string) => Buffer = readFileSync): { lists: Map<string, HostList>; faults: PolicyFault[] } {
  const lists = new Map<string, HostList>();
  const faults: PolicyFault[] = [];
  for (const { file, path } of listFiles(rules)) {
    if (lists.has(file)) continue;
    try {
      const { list, faults: listFaults } = parseHostList(read(file), namesMax);
      lists.set(file, list);
      faults.push(...listFaults.map(({ line, problem }) => ({ path, problem: `${file} line ${line}: ${problem}` })));
    } catch (error) {
      faults.push({ path, problem: `cannot read ${file}: ${error instanceof Error ? error.message : String(error)}` });
    }
  }
  return { lists, faults };
}

function listFiles(rules: PolicyRules): { file: string; path: string }[] {
  return policyStages.flatMap((stage) =>
    rules[stage].flatMap((rule, index) => {
      const path = `policy.${stage}[${index}].when`;
      const plain = (rule.when?.file ?? []).map((file) => ({ file, path: `${path}.file` }));
      return [...plain, ...(rule.when?.not?.file ?? []).map((file) => ({ file, path: `${path}.not.file` }))];
    }),
  );
}
