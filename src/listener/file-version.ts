// What a watched file looks like, to tell that it has changed. It opens nothing.

import { stat } from 'node:fs/promises';

/** Another text once the file was written, replaced, given to somebody else or taken away. Never rejects. */
export async function versionOf(file: string): Promise<string> {
  try {
    const { ino, mtimeMs, ctimeMs, size } = await stat(file);
    return [ino, mtimeMs, ctimeMs, size].join(' ');
  } catch {
    return 'absent';
  }
}
