import { mkdtempSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readyConfig } from '../../src/commands/policy.ts';
import { builtinConfig, builtinName } from '../../src/config/builtin.ts';
import { loadConfig } from '../../src/config/load.ts';
import { silentLogger } from '../../src/core/log.ts';
import type { Traffic } from '../../src/traffic.ts';
import { InForce } from '../../src/in-force.ts';

const checkMs = 20;
/** Long enough for several looks. */
const quietMs = 200;
let folder = '';
let file = '';
let taken: string[] = [];
let complaints = 0;
let opened: InForce | null = null;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sallyport-reload-'));
  file = join(folder, 'config.yaml');
  taken = [];
  complaints = 0;
});
afterEach(() => {
  opened?.close();
  rmSync(folder, { recursive: true });
});

const text = (name: string, more = ''): string => `limits: { configCheckMs: ${checkMs} }\nservices: [ { name: ${name}, type: http, listen: '127.0.0.1:1' } ]\n${more}`;
function open(content: string, fileName = file): InForce {
  if (fileName !== builtinName) writeFileSync(fileName, content);
  const ready = readyConfig(loadConfig(content, fileName), fileName);
  if (!ready.ok) throw new Error(JSON.stringify(ready.faults));
  // What carries traffic is somewhere else: here it only says what it was given.
  const traffic: Traffic = {
    view: { list: none, one: none, kill: none, summary: none, changes: none }, readMetrics: async () => [], fault: () => null, ports: () => ({}), reopenLogs: none, drain: none,
    capture: { start: none, stop: none, figures: none },
    reload: async ({ config }) => {
      if (config.services[0]?.name === 'busy') throw new Error('service busy: the port is taken');
      taken.push(config.services[0]?.name ?? '');
    },
  };
  opened = new InForce({ ready, source: { text: content, fileName }, extraCa: [], activated: new Map(), log: { ...silentLogger, error: () => { complaints += 1; } } }, traffic);
  return opened;
}
async function none(): Promise<never> {
  throw new Error('not asked for');
}

describe('a reload by order', () => {
  it('takes a good file, and changes nothing for a bad one or one that cannot be taken', async () => {
    const inForce = open(text('one'));
    writeFileSync(file, text('two'));
    expect(await inForce.reload()).toEqual([]);
    writeFileSync(file, text('three', 'servcies: []\n'));
    expect(await inForce.reload()).toEqual([expect.stringContaining('servcies')]);
    writeFileSync(file, text('busy'));
    expect(await inForce.reload()).toEqual(['service busy: the port is taken']);
    expect([taken, inForce.ready.config.services[0]?.name, complaints]).toEqual([['two'], 'two', 2]);
  });

  it('cannot change the built-in config', async () => {
    const ready = readyConfig({ ok: true, config: builtinConfig({ root: false }), warnings: [], lineOf: () => 0 }, builtinName);
    expect(ready.ok).toBe(true);
    const inForce = open(text('one'), builtinName);
    await inForce.follow();
    expect(await inForce.reload()).toEqual([expect.stringContaining('-c FILE')]);
  });
});

describe('a changed file', () => {
  it('is taken by itself, once: written in place, replaced, or linked anew', async () => {
    const inForce = open(text('one'));
    await inForce.follow();
    await sleep(quietMs);
    expect(taken).toEqual([]);
    writeFileSync(file, text('two'));
    await expect.poll(() => taken).toEqual(['two']);
    writeFileSync(`${file}.new`, text('three'));
    renameSync(`${file}.new`, file);
    await expect.poll(() => taken).toEqual(['two', 'three']);
    writeFileSync(join(folder, 'other.yaml'), text('four'));
    unlinkSync(file);
    symlinkSync('other.yaml', file);
    await expect.poll(() => taken.at(-1)).toBe('four');
    await sleep(quietMs);
    expect(taken).toEqual(['two', 'three', 'four']);
    expect(inForce.ready.config.services[0]?.name).toBe('four');
  });

  it('that is bad is complained of once and changes nothing; mended, it is taken', async () => {
    const inForce = open(text('one'));
    await inForce.follow();
    writeFileSync(file, text('two', 'servcies: []\n'));
    await expect.poll(() => complaints).toBe(1);
    await sleep(quietMs);
    expect([complaints, taken]).toEqual([1, []]);
    writeFileSync(file, text('two'));
    await expect.poll(() => taken).toEqual(['two']);
  });

  it('may be a list that the policy names, from the first look after it is named', async () => {
    const list = join(folder, 'names.txt');
    writeFileSync(list, 'one.example\n');
    const inForce = open(text('one'));
    await inForce.follow();
    writeFileSync(file, text('two', 'policy: { ssl: [ { when: { file: names.txt }, then: tunnel } ] }\n'));
    await expect.poll(() => taken).toEqual(['two']);
    await sleep(quietMs);
    writeFileSync(list, 'one.example\ntwo.example\n');
    await expect.poll(() => taken).toEqual(['two', 'two']);
    await sleep(quietMs);
    expect(taken).toEqual(['two', 'two']);
  });

  it('is not taken again after a reload by order, nor after the end', async () => {
    const inForce = open(text('one'));
    await inForce.follow();
    writeFileSync(file, text('two'));
    expect(await inForce.reload()).toEqual([]);
    await sleep(quietMs);
    expect(taken).toEqual(['two']);
    inForce.close();
    writeFileSync(file, text('three'));
    await sleep(quietMs);
    expect(taken).toEqual(['two']);
  });
});
