// The error of everything an operator can mend about issuers.

/** What the operator can mend about an issuer: one line that says what to do next. */
export class IssuerError extends Error {
  override readonly name = 'IssuerError';
}
