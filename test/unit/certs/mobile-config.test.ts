import { execFileSync } from 'node:child_process';
import { expect, it } from 'vitest';
import { mobileConfig } from '../../../src/certs/mobile-config.ts';
import { makeIssuer } from './helpers.ts';

it('is a property list with the certificate and stable, distinct identifiers', async () => {
  const issuer = await makeIssuer();
  const text = mobileConfig(issuer);
  expect(mobileConfig(issuer)).toBe(text);
  expect(text).not.toBe(mobileConfig(await makeIssuer()));
  const script = 'import plistlib,sys,json; p=plistlib.loads(sys.stdin.buffer.read()); r=p["PayloadContent"][0]; print(json.dumps([p["PayloadType"], p["PayloadUUID"], r["PayloadType"], r["PayloadUUID"], r["PayloadContent"].hex(), r["PayloadDisplayName"]]))';
  const [profile, profileId, type, id, der, name] = JSON.parse(execFileSync('python3', ['-c', script], { input: text, encoding: 'utf8' })) as string[];
  expect([profile, type, der]).toEqual(['Configuration', 'com.apple.security.root', issuer.certDer.toString('hex')]);
  expect(name).toMatch(/^Test CA [0-9a-f]{8}$/);
  for (const uuid of [profileId, id]) expect(uuid).toMatch(/^[0-9A-F]{8}-[0-9A-F]{4}-8[0-9A-F]{3}-[89AB][0-9A-F]{3}-[0-9A-F]{12}$/);
  expect(id).not.toBe(profileId);
});
