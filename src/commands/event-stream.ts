// Takes server-sent events (WHATWG HTML section 9.2) apart, whatever pieces their text comes in. Bounded: an event longer
// than the bound ends the reading.

export interface StreamEvent {
  readonly name: string;
  readonly data: string;
  /** The id to resume from, where the event gave one. */
  readonly id: string | null;
}

/** Longest event; a session's JSON is a few KiB. */
const eventCharactersMax = 4 * 1024 * 1024;

/** The events of a stream of text. Ends with the text, or when an event is too long. */
export async function* readEvents(pieces: AsyncIterable<string>): AsyncGenerator<StreamEvent> {
  let rest = '';
  for await (const piece of pieces) {
    rest += piece;
    for (let end = rest.indexOf('\n\n'); end >= 0; end = rest.indexOf('\n\n')) {
      const event = parseEvent(rest.slice(0, end));
      rest = rest.slice(end + 2);
      if (event !== null) yield event;
    }
    if (rest.length > eventCharactersMax) return;
  }
}

function parseEvent(block: string): StreamEvent | null {
  let name = 'message';
  let data: string | null = null;
  let id: string | null = null;
  for (const line of block.split('\n')) {
    const colon = line.indexOf(':');
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1);
    if (field === 'event') name = value;
    else if (field === 'data') data = data === null ? value : `${data}\n${value}`;
    else if (field === 'id') id = value;
  }
  return data === null ? null : { name, data, id };
}
