// What the admin API answers when a request is wrong: a status, a stable word, a sentence, and what would be right.

/** A fault of the asker. Callbacks of startAdmin may throw it; anything else they throw is a defect of ours. */
export class AdminFault extends Error {
  override readonly name = 'AdminFault';
  /** HTTP status of the answer. */
  readonly status: number;
  /** The word in `error`: capitals and underscores, stable. */
  readonly code: string;
  /** The right words, where there is a list of them. */
  readonly allowed: readonly string[];

  constructor(status: number, code: string, message: string, allowed: readonly string[] = []) {
    super(message);
    this.status = status;
    this.code = code;
    this.allowed = allowed;
  }
}
