// Session ids: `<worker>-<time><count>`, both base 36. They sort by the time of opening, are unique over workers and
// restarts, and serve as page cursors. Never a secret: an id can be guessed.

/** Digits of the time: base 36 milliseconds fill eight digits until the year 2059. */
const timeDigits = 8;
/** Digits of the count within a millisecond. */
const countDigits = 3;
const countMax = 36 ** countDigits;

/** Makes the ids of one process. A clock that is set back does not make it repeat itself: time then stands still. */
export class SessionIds {
  readonly worker: string;
  readonly #clock: () => number;
  #timeMs = 0;
  #count = 0;

  constructor(worker: string, clock: () => number) {
    this.worker = worker;
    this.#clock = clock;
  }

  next(): string {
    const nowMs = this.#clock();
    if (nowMs > this.#timeMs) {
      this.#timeMs = nowMs;
      this.#count = 0;
    } else if (++this.#count === countMax) {
      this.#timeMs += 1;
      this.#count = 0;
    }
    return `${this.worker}-${digits(this.#timeMs, timeDigits)}${digits(this.#count, countDigits)}`;
  }
}

const idPattern = /^[0-9a-z]{1,16}-[0-9a-z]{11,13}$/;

/** Whether a text has the form of an id. */
export function isSessionId(text: string): boolean {
  return idPattern.test(text);
}

/** Orders ids oldest first, whichever worker made them. */
export function compareIds(left: string, right: string): number {
  const leftDash = left.lastIndexOf('-');
  const rightDash = right.lastIndexOf('-');
  const leftTime = left.slice(leftDash + 1);
  const rightTime = right.slice(rightDash + 1);
  if (leftTime !== rightTime) return leftTime.length - rightTime.length || (leftTime < rightTime ? -1 : 1);
  const leftWorker = left.slice(0, leftDash);
  const rightWorker = right.slice(0, rightDash);
  if (leftWorker === rightWorker) return 0;
  return leftWorker < rightWorker ? -1 : 1;
}

function digits(value: number, width: number): string {
  return value.toString(36).padStart(width, '0');
}
