import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { startTestAdmin } from './support.ts';
import type { TestAdmin } from './support.ts';

const folder = join(import.meta.dirname, '../../../src/admin/console');
let admin: TestAdmin | null = null;
afterEach(async () => {
  await admin?.close();
  admin = null;
});

describe('the console', () => {
  it('is a page that may run nothing inline but its import map, and load nothing from elsewhere', async () => {
    admin = await startTestAdmin();
    const page = await admin.ask('/', { headers: { host: 'gateway.lab' } });
    expect(page).toMatchObject({ status: 200, headers: { 'content-type': 'text/html; charset=utf-8', 'x-frame-options': 'DENY' } });
    const policy = String(page.headers['content-security-policy']);
    expect(policy).toContain("default-src 'none'");
    expect(policy).not.toMatch(/unsafe|\*|https?:/);
    const inline = [...page.text.matchAll(/<script(?![^>]*\bsrc=)[^>]*>([^]*?)<\/script>/g)].map(([, text]) => text ?? '');
    expect(inline).toHaveLength(1);
    expect(policy).toContain(`'sha256-${createHash('sha256').update(inline[0] ?? '').digest('base64')}'`);
    expect(page.text).not.toMatch(/<style|\sstyle=|\son\w+=|https?:/);
  });

  it('every file that the page and its modules ask for is served, with its type', async () => {
    admin = await startTestAdmin();
    const page = (await admin.ask('/')).text;
    const map = JSON.parse(/<script type="importmap">([^]*?)<\/script>/.exec(page)?.[1] ?? '') as { imports: Record<string, string> };
    const wanted = new Set([...page.matchAll(/(?:href|src)="(\/[^"]+)"/g)].map(([, path]) => path ?? '').filter((path) => path !== '/metrics'));
    for (const path of wanted) {
      const answer = await admin.ask(path);
      expect(answer.status, path).toBe(200);
      expect(answer.headers['content-type'], path).toMatch(path.endsWith('.js') ? /javascript/ : path.endsWith('.css') ? /css/ : /svg/);
      if (!path.endsWith('.js')) continue;
      for (const [, name] of answer.text.matchAll(/(?:^|[;\s}])(?:import|export)[^'"();]*?from\s*['"]([^'"]+)['"]/g)) {
        const next = name?.startsWith('.') === true ? `/console/${name.slice(2)}` : map.imports[name ?? ''];
        expect(next, `${path} imports ${name}`).toBeDefined();
        wanted.add(next ?? '');
      }
    }
    for (const path of Object.values(map.imports)) expect(wanted, path).toContain(path);
    const unused = readdirSync(folder).filter((name) => name !== 'index.html' && !wanted.has(`/console/${name}`));
    expect(unused).toEqual([]);
  });

  it('is small, packed where wanted, and not sent again when unchanged', async () => {
    admin = await startTestAdmin();
    const plain = await admin.ask('/console/uplot.js');
    const packed = await admin.ask('/console/uplot.js', { headers: { 'accept-encoding': 'gzip, br' } });
    expect(packed.headers).toMatchObject({ 'content-encoding': 'gzip', vary: 'accept-encoding' });
    expect(Number(packed.headers['content-length'])).toBeLessThan(Number(plain.headers['content-length']) / 2);
    expect(await admin.ask('/console/uplot.js', { headers: { 'if-none-match': String(plain.headers.etag) } })).toMatchObject({ status: 304, text: '' });
    let total = 0;
    for (const name of [...readdirSync(folder).map((file) => `/console/${file}`), '/console/preact.js', '/console/preact-hooks.js', '/console/htm.js', '/console/uplot.js']) {
      if (!name.endsWith('index.html')) total += Number((await admin.ask(name, { headers: { 'accept-encoding': 'gzip' } })).headers['content-length']);
    }
    expect(total).toBeLessThan(120 * 1024);
  });

  it('makes no markup of data: nothing sets HTML, evaluates text, or asks another host', () => {
    for (const name of readdirSync(folder).filter((file) => file.endsWith('.js'))) {
      const text = readFileSync(join(folder, name), 'utf8');
      expect(text, name).not.toMatch(/innerHTML|outerHTML|insertAdjacentHTML|dangerouslySetInnerHTML|document\.write|\beval\b|new Function|https?:\/\//);
    }
  });
});
