/** What the oracle answers in place of lines: a problem that the contract names, or a question that it leaves open. */

export class Refused extends Error {
  readonly kind: string
  /** All kinds there are a reason for: where there are several, the contract does not say which is told. */
  readonly kinds: ReadonlySet<string>
  constructor(kind: string, what: string, kinds: Iterable<string> = [kind]) {
    super(`${kind}: ${what}`)
    this.kind = kind
    this.kinds = new Set(kinds)
  }
}

export const refuse = (kind: string, what: string): never => {
  throw new Refused(kind, what)
}

/** What is made of each, or all that is wrong with them. */
export function ofEach<A, B>(list: readonly A[], of: (one: A) => readonly B[]): B[] {
  const problems: Refused[] = []
  const made = list.flatMap((one) => {
    try {
      return of(one)
    } catch (error) {
      if (!(error instanceof Refused)) throw error
      problems.push(error)
      return []
    }
  })
  const [first] = problems
  if (first === undefined) return made
  throw new Refused(
    first.kind,
    first.message,
    problems.flatMap(({ kinds }) => [...kinds]),
  )
}

/** The contract has no one answer: nothing may be compared here. */
export class Unspecified extends Error {}
