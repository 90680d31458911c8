// What a session description says of media (RFC 8866): addresses, ports, codecs. Reads every body that carries SDP lines,
// multipart ones as well (Skype for Business offers two descriptions at once); never judges them.

/** Media of one description, in order. */
export interface SdpMedia {
  /** `audio 192.0.2.1:49170`; port 0 (a refused stream) is left out. */
  readonly media: readonly string[];
  /** Codec names without duplicates, as in rtpmap or RFC 3551's static payload types. */
  readonly codecs: readonly string[];
}

/** Entries of each list at most: more tell an operator nothing. */
const entriesMax = 8;
const staticCodecs: Readonly<Record<string, string>> = {
  '0': 'PCMU', '3': 'GSM', '4': 'G723', '5': 'DVI4', '8': 'PCMA', '9': 'G722', '12': 'QCELP', '13': 'CN', '15': 'G728', '18': 'G729',
  '26': 'JPEG', '31': 'H261', '32': 'MPV', '34': 'H263',
};

/** Reads media lines; addresses on the media level win over the session's (RFC 8866 section 5.7). */
export function readSdp(body: Buffer): SdpMedia {
  const media = new Set<string>();
  const codecs = new Set<string>();
  let sessionAddress: string | null = null;
  let current: { kind: string; port: string; address: string | null } | null = null;
  const flush = (): void => {
    if (current !== null && current.port !== '0') media.add(mediaText(current.kind, current.address, current.port));
    current = null;
  };
  for (const line of body.toString('latin1').split(/\r\n|\n/)) {
    if (line.startsWith('v=')) {
      flush();
      sessionAddress = null;
    } else if (line.startsWith('m=')) {
      flush();
      const [kind = '', port = '', , ...formats] = line.slice(2).trim().split(/ +/);
      if (!/^[\w-]{1,16}$/.test(kind) || !/^\d{1,5}(\/\d+)?$/.test(port)) continue;
      current = { kind, port: port.replace(/\/.*/, ''), address: sessionAddress };
      for (const format of formats) addBounded(codecs, staticCodecs[format]);
    } else if (line.startsWith('c=IN IP')) {
      const address = addressIn(line);
      if (current === null) sessionAddress = address;
      else current.address = address;
    } else if (line.startsWith('a=rtpmap:')) addBounded(codecs, /^a=rtpmap:\d{1,3} ([\w.+-]{1,32})\//.exec(line)?.[1]);
  }
  flush();
  return { media: [...media].slice(0, entriesMax), codecs: [...codecs] };
}

/** The media lines of one description as text, IPv6 addresses in brackets. */
function mediaText(kind: string, address: string | null, port: string): string {
  if (address === null) return `${kind} ${port}`;
  return address.includes(':') ? `${kind} [${address}]:${port}` : `${kind} ${address}:${port}`;
}

function addressIn(line: string): string | null {
  return /^c=IN IP[46] ([\w.:-]{1,64})/.exec(line)?.[1] ?? null;
}

function addBounded(codecs: Set<string>, name: string | undefined): void {
  if (name !== undefined && codecs.size < entriesMax) codecs.add(name);
}
