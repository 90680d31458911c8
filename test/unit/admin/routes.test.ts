import { describe, expect, it } from 'vitest';
import { findRoute, json } from '../../../src/admin/routes.ts';
import type { Route } from '../../../src/admin/routes.ts';

const route = (method: Route['method'], path: string): Route => ({ method, path, need: 'read', answer: () => json(path) });
const routes = [route('GET', '/api/sessions/stream'), route('GET', '/api/sessions/:id'), route('DELETE', '/api/sessions/:id'), route('GET', '/')];

describe('routes', () => {
  it.each([
    ['GET', '/', '/', ''],
    ['HEAD', '/', '/', ''],
    ['GET', '/api/sessions/stream', '/api/sessions/stream', ''],
    ['GET', '/api/sessions/1-abc', '/api/sessions/:id', '1-abc'],
    ['DELETE', '/api/sessions/a%2Fb', '/api/sessions/:id', 'a/b'],
    // The first that fits decides, so a fixed path stands before one with an id; other methods go on to the next.
    ['DELETE', '/api/sessions/stream', '/api/sessions/:id', 'stream'],
  ])('%s %s is %s', (method, path, expected, id) => {
    expect(findRoute(routes, method, path)).toMatchObject({ route: { path: expected }, id });
  });

  it('an unknown path knows no method, a known one tells its own', () => {
    for (const path of ['', '/x', '/api/sessions', '/api/sessions/', '/api/sessions/a/b', '/api/sessions/%zz', '//']) expect(findRoute(routes, 'GET', path), path).toEqual([]);
    expect(findRoute(routes, 'POST', '/api/sessions/a')).toEqual(['GET', 'DELETE']);
    expect(findRoute(routes, 'OPTIONS', '/')).toEqual(['GET']);
  });
});

it('JSON answers have their type and status', () => {
  expect(json({ a: 1 }, 201, { allow: 'GET' })).toEqual({ status: 201, type: 'application/json; charset=utf-8', body: '{"a":1}', headers: { allow: 'GET' } });
});
