// The address plan of the lab: which name lives on which address of the server host, and the networks between the hosts.
// The only list of lab names; hosts files and server certificates come from it.

export interface LabAddress {
  /** Fully qualified, ends in lab.test (RFC 6761 keeps .test out of the real world). */
  readonly name: string;
  readonly v4: string;
  readonly v6: string;
}

/** Last part of a server's addresses (10.77.2.N and fd77:2::N) by the first label of its name. */
export const serverNumbers = {
  https: 10, tls12: 11, tls13: 12, expired: 13, 'required-tls12': 14, 'required-tls13': 15, 'optional-tls12': 16, 'optional-tls13': 17,
  untrusted: 18, 'wrong-name': 19,
  sip: 20, 'sip-5061': 21, sipp: 22, turns: 23, av: 24,
  // A Skype for Business deployment: its web services, its Access Edge, and the name that clients look for first.
  lync: 25, 'lync-web': 26, lyncdiscoverinternal: 27,
  echo: 30, smtp: 31, ssh: 32, plain: 33, silent: 34, refused: 35, openssl: 36,
  // Web servers of Node's own, gRPC, a login that binds to the connection, WebSocket over HTTP/1.1 and (HAProxy) over HTTP/2.
  node: 41, grpc: 42, ntlm: 43, websocket: 44, 'websocket-h2': 45,
  // Two names of one server, on one address and one wildcard certificate: browsers ask for both on one connection.
  wide: 46, 'wide-too': 46,
  // An address that answers nothing: the gateway itself answers plain http for this host.
  crl: 40,
} as const;

export type ServerName = keyof typeof serverNumbers;
export const serverNames = Object.keys(serverNumbers) as readonly ServerName[];

/** Addresses and full name of a server. */
export function address(server: ServerName): LabAddress {
  const number = serverNumbers[server];
  return { name: `${server}.lab.test`, v4: `10.77.2.${number}`, v6: `fd77:2::${number}` };
}

export const network = {
  /** Client host: several addresses, so that limits per client can be told apart. */
  clients: ['10.77.1.2', '10.77.1.3', '10.77.1.4'],
  client6: 'fd77:1::2',
  gatewayToClient: { v4: '10.77.1.1', v6: 'fd77:1::1' },
  gatewayToServer: { v4: '10.77.2.1', v6: 'fd77:2::1' },
} as const;

/** Names that clients resolve to IPv4 alone: for clients that prefer IPv6 and cannot be talked out of it. */
export const v4Names: ReadonlySet<ServerName> = new Set(['sip-5061', 'lync', 'lync-web', 'lyncdiscoverinternal']);

/** The text of a hosts file that knows every lab name. */
export function hostsFile(): string {
  const own = ['127.0.0.1 localhost', '::1 localhost', `${network.gatewayToClient.v4} gateway.lab.test`];
  const servers = serverNames.flatMap((server) => {
    const { name, v4, v6 } = address(server);
    return [`${v4} ${name}`, ...(v4Names.has(server) ? [] : [`${v6} ${name}`])];
  });
  return `${[...own, ...servers].join('\n')}\n`;
}
