// Addresses as SIP headers write them (RFC 3261 section 20.10): display name, URI, parameters. Works on one header value;
// quoted strings and escapes are honoured, anything else odd gives less, never an error.

/** A From, To, Contact or Via value taken apart. `params` begins at the first `;` behind the address, or is ''. */
export interface Address {
  readonly uri: string;
  readonly params: string;
}

/** The address in a From, To or single Contact value. `uri` is '' when there is none. */
export function addressIn(value: string): Address {
  // A quote that never closes quotes nothing: lenient servers look for the bracket all the same.
  const open = hasOpenQuote(value) ? value.indexOf('<') : outsideQuotes(value, '<', 0);
  if (open < 0) {
    const semicolon = outsideQuotes(value, ';', 0);
    const end = semicolon < 0 ? value.length : semicolon;
    return { uri: value.slice(0, end).trim(), params: value.slice(end) };
  }
  const close = value.indexOf('>', open);
  const end = close < 0 ? value.length : close;
  const rest = outsideQuotes(value, ';', end);
  return { uri: value.slice(open + 1, end).trim(), params: rest < 0 ? '' : value.slice(rest) };
}

/** Whether every reader sees the same one address in a From or To value: what rules go by must be what the server goes by. */
export function isPlainAddress(value: string): boolean {
  if (hasOpenQuote(value) || listIn(value).length !== 1) return false;
  return /^[a-z][a-z0-9+.-]*:[^\s<>"@]+(@[^\s<>"@]+)?$/i.test(addressIn(value).uri);
}

/** The value of a parameter, unquoted; '' when it has none; null when it is absent. Names are case-insensitive. */
export function paramIn(params: string, name: string): string | null {
  for (let start = params.indexOf(';'); start >= 0;) {
    const next = outsideQuotes(params, ';', start + 1);
    const piece = params.slice(start + 1, next < 0 ? params.length : next);
    const equals = piece.indexOf('=');
    const key = (equals < 0 ? piece : piece.slice(0, equals)).trim();
    if (key.length === name.length && key.toLowerCase() === name) return equals < 0 ? '' : unquoted(piece.slice(equals + 1).trim());
    start = next;
  }
  return null;
}

/** Splits a list at commas outside quotes and angle brackets. */
export function listIn(value: string): string[] {
  return piecesIn(value, ',').map((item) => item.trim()).filter((item) => item !== '');
}

/** Splits at a character outside quotes (and, for commas, angle brackets); the pieces joined by it are the value again. */
export function piecesIn(value: string, separator: ',' | ';'): string[] {
  const pieces: string[] = [];
  let start = 0;
  for (;;) {
    const end = outsideQuotes(value, separator, start, separator === ',');
    pieces.push(value.slice(start, end < 0 ? value.length : end));
    if (end < 0) return pieces;
    start = end + 1;
  }
}

/**
 * A URI as rules and operators name it: scheme, user and host, without parameters and headers, escapes of plain characters
 * undone and scheme and host in lower case, so that one address has one spelling (RFC 3261 section 19.1.4).
 */
export function plainUri(uri: string): string {
  const colon = uri.indexOf(':');
  if (colon < 0) return uri;
  const scheme = uri.slice(0, colon).toLowerCase();
  const rest = uri.slice(colon + 1);
  const isSip = scheme === 'sip' || scheme === 'sips';
  const at = isSip ? rest.indexOf('@') : -1;
  const user = at < 0 ? '' : rest.slice(0, at + 1);
  const host = rest.slice(at + 1);
  const end = host.search(isSip ? /[;?]/ : /[;]/);
  const bare = end < 0 ? host : host.slice(0, end);
  return `${scheme}:${unescaped(user)}${isSip ? bare.toLowerCase() : unescaped(bare)}`;
}

/** The offset of a character outside quoted strings (and, for lists, outside angle brackets); -1 when there is none. */
function outsideQuotes(text: string, wanted: string, from: number, bracketsToo = false): number {
  let quoted = false;
  let bracketed = false;
  for (let at = from; at < text.length; at += 1) {
    const character = text[at];
    if (quoted) {
      if (character === '\\') at += 1;
      else if (character === '"') quoted = false;
    } else if (character === wanted && !bracketed) return at;
    else if (character === '"') quoted = true;
    else if (bracketsToo && character === '<') bracketed = true;
    else if (bracketsToo && character === '>') bracketed = false;
  }
  return -1;
}

function hasOpenQuote(text: string): boolean {
  if (!text.includes('"')) return false;
  let quoted = false;
  for (let at = 0; at < text.length; at += 1) {
    if (text[at] === '\\' && quoted) at += 1;
    else if (text[at] === '"') quoted = !quoted;
  }
  return quoted;
}

function unquoted(text: string): string {
  return text.length >= 2 && text.startsWith('"') && text.endsWith('"') ? text.slice(1, -1).replace(/\\(.)/gs, '$1') : text;
}

/** Undoes the escapes of unreserved characters only: others may carry meaning. */
function unescaped(text: string): string {
  return text.includes('%') ? text.replace(/%[0-9a-f]{2}/gi, (escape) => plainOrSame(escape)) : text;
}

function plainOrSame(escape: string): string {
  const character = String.fromCharCode(Number.parseInt(escape.slice(1), 16));
  return /[A-Za-z0-9\-_.!~*'()]/.test(character) ? character : escape;
}
