// One quirk of Node 24: a TLSSocket looks at every listener that is added to it, since one for keys or sessions has OpenSSL asked for them. Each look
// costs about as much as the listener, of which a flow adds some twenty. This file ends the looking; it takes no listener away.

import type { TLSSocket } from 'node:tls';

/** To be called once nobody will listen for `keylog` or `session` who does not yet: such a listener would hear nothing from here on. */
export function noMoreKeyListeners(socket: TLSSocket): void {
  socket.removeAllListeners('newListener');
}
