/** What the oracle answers in place of lines: a problem that the contract names, or a question that it leaves open. */

export class Refused extends Error {
  readonly kind: string
  constructor(kind: string, what: string) {
    super(`${kind}: ${what}`)
    this.kind = kind
  }
}

export const refuse = (kind: string, what: string): never => {
  throw new Refused(kind, what)
}

/** The contract has no one answer: nothing may be compared here. */
export class Unspecified extends Error {}
