// `sallyport check`: exit codes and texts.

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { run } from '../../../src/commands/check.ts';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'check-'));
});
afterAll(async () => await rm(folder, { recursive: true }));

async function check(...args: string[]): Promise<{ code: number; text: string }> {
  let text = '';
  const code = await run(args, { write: (part: string) => (text += part) });
  return { code, text };
}

async function file(name: string, text: string): Promise<string> {
  await writeFile(join(folder, name), text);
  return join(folder, name);
}

describe('check', () => {
  it('a good config is 0, with its warnings', async () => {
    const name = await file('good.yaml', 'services:\n  - { name: a, type: ssl, listen: "[::]:1", detectProtocol: false }\npolicy:\n  ssl:\n    - { then: intercept, tunnelOnError: true }\n');
    const { code, text } = await check('-c', name);
    expect(code).toBe(0);
    expect(text).toContain(`${name}:2: services[0].detectProtocol: warning: service a intercepts but cannot detect`);
    expect(text).toContain(`${name}:4: policy.connection: warning: the default is relied on`.replace(':4:', ':3:'));
    expect(text).toMatch(/: ok: 1 service, 1 rule, 7 warnings\n$/);
  });
  it('every fault is a line, and 2', async () => {
    const name = await file('bad.yaml', 'services:\n  - { name: a, type: ssl, listen: "[::]:1" }\nfoo: 1\nbar: 2\n');
    expect(await check('--config', name)).toEqual({ code: 2, text: expect.stringMatching(/^\S+bad\.yaml:3: foo: unknown key.*\n\S+bad\.yaml:4: bar: unknown key.*\n$/) });
  });
  it('faults of list files are faults of the rule that names them', async () => {
    await file('names.txt', 'good.example\nnot a name\n');
    const name = await file('lists.yaml', 'services:\n  - { name: a, type: ssl, listen: "[::]:1" }\npolicy:\n  ssl:\n    - when:\n        file: [names.txt, gone.txt]\n      then: tunnel\n');
    const { code, text } = await check('-c', name);
    expect(code).toBe(2);
    expect(text).toContain(`${name}:6: policy.ssl[0].when.file: ${join(folder, 'names.txt')} line 2: not a host name: "not a name"`);
    expect(text).toContain(`${name}:6: policy.ssl[0].when.file: cannot read ${join(folder, 'gone.txt')}`);
  });
  it('the built-in config is good, and can be printed and checked', async () => {
    expect(await check()).toEqual({ code: 0, text: 'built-in.yaml: ok: 2 services, 8 rules, 0 warnings\n' });
    const { text } = await check('--print');
    expect((await check('-c', await file('printed.yaml', text))).code).toBe(0);
  });
  it('bad usage is 2, one line, with what to do', async () => {
    for (const args of [['--nope'], ['extra'], ['-c'], ['-c', join(folder, 'gone.yaml')]]) {
      const { code, text } = await check(...args);
      expect([args, code, text.split('\n').length, text.startsWith('sallyport check: ')]).toEqual([args, 2, 2, true]);
    }
  });
  it('--help says how', async () => expect(await check('--help')).toEqual({ code: 0, text: expect.stringContaining('FILE:LINE: path: problem') }));
});
