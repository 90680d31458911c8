// A head of HTTP/1 as parsed: offsets into what was received and the few texts that framing and policy need. It holds no bytes.

import { HeadFields } from './fields.ts';

/** A head as parsed. One object per direction, overwritten by the next head. Offsets count from the head's first byte. */
export class Head extends HeadFields {
  /** Bytes of the head, a skipped empty line before it and the empty line after it included. */
  lengthBytes = 0;
  /** Where the start line ends and the fields begin. */
  fieldsStart = 0;
  method = '';
  target = '';
  /** 0 in requests. */
  status = 0;
  /** Minor version: 0 or 1. */
  minor = 1;

  override reset(): void {
    super.reset();
    this.lengthBytes = 0;
    this.fieldsStart = 0;
    this.method = '';
    this.target = '';
    this.status = 0;
    this.minor = 1;
  }
}
