import { createServer } from 'node:http';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { adminClient, AdminClientError } from '../../../src/commands/admin-client.ts';
import { startTestAdmin, token } from '../admin/support.ts';
import type { TestAdmin } from '../admin/support.ts';

let admin: TestAdmin;
let folder = '';
beforeEach(async () => {
  admin = await startTestAdmin({ explain: async (question) => ({ question }) });
  folder = await mkdtemp(join(tmpdir(), 'sallyport-client-'));
  await writeFile(join(folder, 'token'), `${token}\n`);
});
afterEach(async () => {
  await admin.close();
  await rm(folder, { recursive: true });
});

describe('the client of the admin API', () => {
  it('reads JSON, sends bodies, and takes addresses and URLs', async () => {
    for (const where of [`127.0.0.1:${admin.port}`, admin.base]) {
      const client = await adminClient({ admin: where, tokenFile: null });
      expect(await client.json('GET', '/api/summary')).toMatchObject({ active: 0 });
      expect(await client.json('POST', '/api/explain', { sni: 'a' })).toEqual({ question: { sni: 'a' } });
    }
  });

  it('sends the token of the file', async () => {
    const without = await adminClient({ admin: admin.base, tokenFile: join(folder, 'missing') });
    await expect(without.json('DELETE', '/api/sessions/x')).rejects.toThrow(/read-only.*missing cannot be read/);
    const withIt = await adminClient({ admin: admin.base, tokenFile: join(folder, 'token') });
    await expect(withIt.json('DELETE', '/api/sessions/x')).rejects.toThrow('no session');
    await writeFile(join(folder, 'token'), 'other');
    await expect((await adminClient({ admin: admin.base, tokenFile: join(folder, 'token') })).json('GET', '/api/summary')).rejects.toThrow('token is not right');
  });

  it('says in one line when nobody or somebody else answers', async () => {
    await expect(adminClient({ admin: 'http://', tokenFile: null })).rejects.toBeInstanceOf(AdminClientError);
    await expect((await adminClient({ admin: '127.0.0.1:1', tokenFile: null })).json('GET', '/')).rejects.toThrow(/^no gateway answers at 127\.0\.0\.1:1: start one/);
    const other = createServer((_, response) => response.writeHead(500).end('<html>'));
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    const address = other.address();
    if (typeof address !== 'object' || address === null) throw new Error('no address');
    await expect((await adminClient({ admin: `127.0.0.1:${address.port}`, tokenFile: null })).json('GET', '/')).rejects.toThrow('answered 500');
    await new Promise((resolve) => other.close(resolve));
  });
});
