// Time of day as a condition: windows of the week in local time. Judged at a session's start, so that policy needs no clock.

/** A minute of the week, 0 is Sunday 00:00. */
export type MinuteOfWeek = number;

const dayNames = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];
const dayMinutes = 24 * 60;
const weekMinutes = 7 * dayMinutes;

/** The minute of the week of a time (milliseconds since the epoch) in the process's time zone. */
export function minuteOfWeek(timeMs: number): MinuteOfWeek {
  const time = new Date(timeMs);
  return time.getDay() * dayMinutes + time.getHours() * 60 + time.getMinutes();
}

/**
 * Compiles windows such as `mon-fri 08:00-18:00`, `sat,sun`, `22:00-06:00` of which one must hold. A window whose end is not
 * after its beginning goes on into the next day; its days are those it begins on. Text must have passed the config's schema.
 */
export function compileTimes(windows: readonly string[]): (minute: MinuteOfWeek) => boolean {
  const open = new Uint8Array(weekMinutes);
  for (const window of windows) {
    const { days, from, minutes } = readWindow(window);
    for (const day of days) for (let step = 0; step < minutes; step += 1) open[(day * dayMinutes + from + step) % weekMinutes] = 1;
  }
  return (minute) => open[minute] === 1;
}

function readWindow(window: string): { days: readonly number[]; from: number; minutes: number } {
  const hours = /(\d\d):(\d\d)-(\d\d):(\d\d)$/.exec(window);
  const daysText = window.slice(0, hours?.index ?? window.length).trim();
  const days = daysText === '' ? [0, 1, 2, 3, 4, 5, 6] : daysText.split(',').flatMap(readDays);
  if (hours === null) return { days, from: 0, minutes: dayMinutes };
  const from = Number(hours[1]) * 60 + Number(hours[2]);
  const to = Number(hours[3]) * 60 + Number(hours[4]);
  return { days, from, minutes: to > from ? to - from : to - from + dayMinutes };
}

function readDays(text: string): number[] {
  const [first = '', last = first] = text.split('-');
  const from = dayNames.indexOf(first);
  const count = (dayNames.indexOf(last) - from + 7) % 7;
  return Array.from({ length: count + 1 }, (_, step) => (from + step) % 7);
}
