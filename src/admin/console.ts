// The console: a page, its style, and small ES modules served from memory, with the two or three libraries they import.
// Nothing comes from elsewhere and nothing inline runs but the import map, whose hash is in the content security policy.

import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, extname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { AdminRequest, Route, WholeReply } from './routes.ts';

const folder = join(import.meta.dirname, 'console');

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
};

/** Libraries by the name under which the page asks for them: a package and a file in it. */
const libraries: Readonly<Record<string, readonly [string, string]>> = {
  'preact.js': ['preact', 'dist/preact.mjs'],
  'preact-hooks.js': ['preact', 'hooks/dist/hooks.mjs'],
  'htm.js': ['htm', 'dist/htm.module.js'],
  'uplot.js': ['uplot', 'dist/uPlot.esm.js'],
  'uplot.css': ['uplot', 'dist/uPlot.min.css'],
};

/** Routes of the page and its files, read once. Open to all: they hold no data. */
export async function consoleRoutes(): Promise<Route[]> {
  const page = await readFile(join(folder, 'index.html'), 'utf8');
  const files = (await readdir(folder)).filter((name) => name !== 'index.html' && Object.hasOwn(types, extname(name)));
  const routes: Route[] = [fileRoute('/', page, '.html', { 'content-security-policy': securityPolicy(page), 'x-frame-options': 'DENY' })];
  for (const name of files) routes.push(fileRoute(`/console/${name}`, await readFile(join(folder, name), 'utf8'), extname(name)));
  for (const [name, [library, path]] of Object.entries(libraries)) {
    routes.push(fileRoute(`/console/${name}`, await readFile(join(packageFolder(library), path), 'utf8'), extname(name)));
  }
  return routes;
}

/** What the page may load and do: its own files and this listener, nothing inline but the import map. */
function securityPolicy(page: string): string {
  const inline = [...page.matchAll(/<script type="importmap">([^]*?)<\/script>/g)].map(([, text]) => `'sha256-${createHash('sha256').update(text ?? '').digest('base64')}'`);
  return [
    "default-src 'none'", `script-src 'self' ${inline.join(' ')}`, "style-src 'self'", "img-src 'self'", "connect-src 'self'",
    "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
  ].join('; ');
}

function fileRoute(path: string, text: string, extension: string, headers: Readonly<Record<string, string>> = {}): Route {
  const plain = Buffer.from(text);
  const packed = gzipSync(plain, { level: 9 });
  const etag = `"${createHash('sha256').update(plain).digest('base64url').slice(0, 22)}"`;
  const common = { ...headers, etag, vary: 'accept-encoding', 'cache-control': 'no-cache' };
  const type = types[extension] ?? 'application/octet-stream';
  return {
    method: 'GET', path, need: 'none',
    answer: ({ headers: asked }: AdminRequest): WholeReply => {
      if (asked['if-none-match'] === etag) return { status: 304, type, body: '', headers: common };
      const takesGzip = /\bgzip\b/.test(String(asked['accept-encoding'] ?? ''));
      return { status: 200, type, body: takesGzip ? packed : plain, headers: takesGzip ? { ...common, 'content-encoding': 'gzip' } : common };
    },
  };
}

/** Where a package is installed, by its main file: packages need not export package.json. */
function packageFolder(name: string): string {
  let path = createRequire(import.meta.url).resolve(name);
  while (!path.endsWith(`${join('node_modules', name)}`)) {
    const parent = dirname(path);
    if (parent === path) throw new Error(`the package ${name} is not installed: run npm ci`);
    path = parent;
  }
  return path;
}
