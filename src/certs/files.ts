// Files of the state folder: private, written whole or not at all, and safe when several processes start at once.
// Nothing is ever written over in place.

import { randomBytes } from 'node:crypto';
import { link, mkdir, open, readFile, rename, stat, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';

const privateFile = 0o600;
const privateFolder = 0o700;

/** Makes a folder (and those above it) that only its owner can enter; one that exists stays as it is. */
export async function makeFolder(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: privateFolder });
}

/** Reads a file, null when there is none. */
export async function readIfThere(path: string): Promise<Buffer | null> {
  try {
    return await readFile(path);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return null;
    throw error;
  }
}

/** Writes a file whole: a reader sees the old or the new one, also after a power cut. */
export async function replaceFile(path: string, content: Buffer | string, mode = privateFile): Promise<void> {
  const temporary = await writeBeside(path, content, mode);
  await rename(temporary, path);
  await syncFolder(dirname(path));
}

/** Writes a file unless there is one: false when another process was first. A reader never sees half of it. */
export async function createFile(path: string, content: Buffer | string, mode = privateFile): Promise<boolean> {
  const temporary = await writeBeside(path, content, mode);
  try {
    await link(temporary, path);
    await syncFolder(dirname(path));
    return true;
  } catch (error) {
    if (isErrno(error, 'EEXIST')) return false;
    throw error;
  } finally {
    await unlink(temporary);
  }
}

/** Renames a file that is there; false when there is none. */
export async function moveAside(path: string, to: string): Promise<boolean> {
  try {
    await rename(path, to);
    return true;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return false;
    throw error;
  }
}

/** The permission bits of others than the owner; 0 for a private file. */
export async function foreignBits(path: string): Promise<number> {
  return (await stat(path)).mode & 0o077;
}

/** Something that changes when a file is replaced; null when there is none. */
export async function fileMark(path: string): Promise<string | null> {
  try {
    const { ino, mtimeNs, size } = await stat(path, { bigint: true });
    return `${ino}-${mtimeNs}-${size}`;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return null;
    throw error;
  }
}

/** Whether a caught value is a system error with this code. */
export function isErrno(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}

async function writeBeside(path: string, content: Buffer | string, mode: number): Promise<string> {
  const temporary = `${path}.${process.pid}-${randomBytes(4).toString('hex')}.new`;
  const file = await open(temporary, 'wx', mode);
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
  return temporary;
}

/** A rename or link is only lasting when its folder is. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
