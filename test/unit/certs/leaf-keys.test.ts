import { createPrivateKey, createPublicKey } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { startLeafKeys } from '../../../src/certs/leaf-keys.ts';

it('has one key of each type, whose halves fit', async () => {
  const keys = startLeafKeys(60_000, Date.now);
  const [ec, rsa] = [await keys.current('ec'), await keys.current('rsa')];
  expect(await keys.current('ec')).toBe(ec);
  expect(createPrivateKey(ec.pem).asymmetricKeyDetails?.namedCurve).toBe('prime256v1');
  expect(createPrivateKey(rsa.pem).asymmetricKeyDetails?.modulusLength).toBe(2048);
  for (const { pem, publicKey } of [ec, rsa]) {
    expect(createPublicKey(createPrivateKey(pem)).export({ format: 'der', type: 'spki' })).toEqual(publicKey.info);
    expect(publicKey.keyId).toHaveLength(20);
  }
});

it('replaces a key when its time has come, without making anybody wait', async () => {
  let now = 0;
  const keys = startLeafKeys(1000, () => now);
  const first = await keys.current('ec');
  now = 1001;
  expect(await keys.current('ec')).toBe(first);
  let next = first;
  for (let tries = 0; next === first && tries < 200; tries += 1) {
    await wait(10);
    next = await keys.current('ec');
  }
  expect(next.pem).not.toBe(first.pem);
  expect(await keys.current('ec')).toBe(next);
});
