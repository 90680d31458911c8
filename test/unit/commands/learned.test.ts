import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { run } from '../../../src/commands/learned.ts';
import { LearnedBook } from '../../../src/policy/learned.ts';
import { startTestAdmin, token } from '../admin/support.ts';
import type { TestAdmin } from '../admin/support.ts';

const minute = 60_000;
let folder = '';
let book: LearnedBook;
let admin: TestAdmin;
let enabled = true;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sallyport-learned-'));
  writeFileSync(join(folder, 'admin.token'), `${token}\n`);
  book = new LearnedBook(() => ({ failures: 1, withinMs: minute, ttlMs: 10 * minute, entriesMax: 10 }), () => Date.now(), () => {});
  enabled = true;
  admin = await startTestAdmin({ learned: { list: async () => ({ enabled, bypasses: book.list() }), forget: async (key) => book.forget(key) } });
});
afterEach(async () => {
  await admin.close();
  rmSync(folder, { recursive: true });
});

async function learned(args: readonly string[], tokenFile: string | null = join(folder, 'admin.token')): Promise<{ code: number; out: string; err: string }> {
  const result = { code: -1, out: '', err: '' };
  result.code = await run(args, {
    admin: `127.0.0.1:${admin.port}`, tokenFile,
    stdout: { write: (text) => void (result.out += text) }, stderr: { write: (text) => void (result.err += text) },
  });
  return result;
}

describe('sallyport learned', () => {
  it('lists what is bypassed, by whom, and for how long yet', async () => {
    book.refused({ client: '192.0.2.7', name: 'pinned.example', ja4: 't13d1516h2_a_b' });
    book.refused({ client: '2001:db8::7', name: 'other\u001b[2J.example', ja4: null });
    const { code, out } = await learned([], null);
    expect(code).toBe(0);
    const [head, ...rows] = out.trimEnd().split('\n');
    expect(head).toMatch(/^CLIENT +NAME +JA4 +REFUSALS +SINCE +ENDS IN$/);
    expect(rows).toHaveLength(2);
    expect(rows[1]).toMatch(/^192\.0\.2\.7 +pinned\.example +t13d1516h2_a_b +1 +\S+Z +(?:9m\d\ds|10m00s)$/);
    expect(out).not.toContain('\u001b');
  });

  it('--json is the answer of the API', async () => {
    book.refused({ client: '192.0.2.7', name: 'pinned.example', ja4: null });
    expect(JSON.parse((await learned(['--json'])).out)).toMatchObject({ enabled: true, bypasses: [{ key: '192.0.2.7 pinned.example -', name: 'pinned.example' }] });
  });

  it('says when there is nothing, and when nothing is learned at all', async () => {
    expect((await learned([])).out).toBe('nothing is bypassed\n');
    enabled = false;
    expect((await learned([])).out).toBe('nothing is learned: learned.enabled is false\n');
  });

  it.each([['192.0.2.7', 2], ['Pinned.example', 2], ['192.0.2.7 pinned.example -', 1]])('clear %s forgets %i of three', async (word, forgotten) => {
    for (const [client, name] of [['192.0.2.7', 'pinned.example'], ['192.0.2.7', 'else.example'], ['192.0.2.8', 'pinned.example']] as const) book.refused({ client, name, ja4: null });
    expect(await learned(['clear', word])).toEqual({ code: 0, out: `forgotten: ${forgotten}\n`, err: '' });
    expect(book.size).toBe(3 - forgotten);
  });

  it('clear --all forgets everything', async () => {
    for (const client of ['192.0.2.7', '192.0.2.8']) book.refused({ client, name: 'pinned.example', ja4: null });
    expect(await learned(['clear', '--all'])).toEqual({ code: 0, out: 'forgotten: 2\n', err: '' });
    expect(book.size).toBe(0);
  });

  it('a word that stands for nothing is said, and the rest is done', async () => {
    book.refused({ client: '192.0.2.7', name: 'pinned.example', ja4: null });
    expect(await learned(['clear', '192.0.2.7', 'nobody.example'])).toEqual({ code: 1, out: 'forgotten: 1\n', err: 'sallyport learned: nothing is bypassed for nobody.example\n' });
  });

  it('without the token nothing is forgotten', async () => {
    book.refused({ client: '192.0.2.7', name: 'pinned.example', ja4: null });
    const { code, err } = await learned(['clear', '--all'], null);
    expect([code, book.size]).toEqual([1, 1]);
    expect(err).toContain('--token-file');
  });

  it.each([[['clear']], [['clear', '--all', 'x']], [['forget', 'x']], [['--all']], [['--nope']]])('%j is wrong usage', async (args) => {
    const { code, err } = await learned(args);
    expect(code).toBe(2);
    expect(err).toMatch(/^sallyport learned: /);
  });

  it('--help', async () => {
    expect((await learned(['--help'])).out).toContain('clear WORD');
  });
});
