// Decrypted captures as the admin API orders them: checks the order, tells every process, writes into the log who wants what. It exists only where
// the config names a folder for them, and never hands out what was captured.

import { AdminFault } from './admin/fault.ts';
import type { CaptureControl } from './admin/options.ts';
import type { Limits } from './core/limits.ts';
import type { Logger } from './core/log.ts';
import type { CaptureControls } from './data-plane.ts';
import { captureFilesIn } from './sessions/capture-files.ts';
import { FilterError, parseFilter } from './sessions/filter.ts';

export interface CaptureControlParts {
  readonly folder: string;
  readonly limits: Limits;
  readonly log: Logger;
  readonly controls: CaptureControls;
}

/** `POST /api/capture` takes `{"filter": "protocol=sips", "seconds": 60}`, both optional; GET tells figures and files; DELETE ends it. */
export function captureControl({ folder, limits, log, controls }: CaptureControlParts): CaptureControl {
  const state = async (): Promise<unknown> => {
    const parts = await controls.figures();
    const sum = (pick: (part: (typeof parts)[number]) => number): number => parts.reduce((total, part) => total + pick(part), 0);
    return {
      running: parts.some(({ running }) => running), sessions: sum((part) => part.sessions), packets: sum((part) => part.packets),
      bytes: sum((part) => part.bytes), dropped: sum((part) => part.dropped), folder, files: await captureFilesIn(folder),
    };
  };
  return {
    state,
    async start(body) {
      const { filter, seconds } = readOrder(body, limits);
      // Colons and dashes out: names of files sort by it, and tell their parts by dashes.
      const name = new Date().toISOString().slice(0, 19).replaceAll(/[-:]/g, '');
      await controls.start({ filter, durationMs: seconds * 1000, name });
      log.warn({ filter, seconds, folder }, 'audit: a decrypted capture was started by an operator');
      return await state();
    },
    async stop() {
      await controls.stop();
      const ended = await state();
      log.warn({ capture: ended }, 'audit: the decrypted capture was ended by an operator');
      return ended;
    },
  };
}

function readOrder(body: unknown, { captureMs }: Limits): { filter: string; seconds: number } {
  const secondsMax = Math.floor(captureMs / 1000);
  const wrong = (problem: string): AdminFault => new AdminFault(400, 'BAD_REQUEST', `${problem}; expected {"filter": TEXT, "seconds": 1 to ${String(secondsMax)}}, both optional`);
  const order = body ?? {};
  if (typeof order !== 'object' || Array.isArray(order)) throw wrong('the body is not an object');
  const strange = Object.keys(order).find((key) => key !== 'filter' && key !== 'seconds');
  if (strange !== undefined) throw wrong(`there is no '${strange}'`);
  const filter: unknown = 'filter' in order ? order.filter : '';
  const seconds: unknown = 'seconds' in order ? order.seconds : secondsMax;
  if (typeof filter !== 'string') throw wrong('filter is not a text');
  if (typeof seconds !== 'number' || !Number.isInteger(seconds) || seconds < 1 || seconds > secondsMax) throw wrong('seconds is out of range');
  const parsed = parseFilter(filter);
  if (parsed instanceof FilterError) throw new AdminFault(400, 'BAD_FILTER', parsed.message, parsed.allowed);
  return { filter: parsed.text, seconds };
}
