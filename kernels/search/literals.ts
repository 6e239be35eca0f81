/** What a search for literals finds: every place of each, overlapping ones too, by place and then by literal. */
export interface Match {
  readonly at: number
  /** Its place in the list of literals. */
  readonly literal: number
}

const isAt = (text: Uint8Array, at: number, literal: Uint8Array): boolean => literal.every((byte, i) => text[at + i] === byte)

export function matches(text: Uint8Array, literals: ReadonlyArray<Uint8Array>): ReadonlyArray<Match> {
  const found: Array<Match> = []
  for (let at = 0; at < text.length; at++)
    literals.forEach((bytes, literal) => {
      if (at + bytes.length <= text.length && isAt(text, at, bytes)) found.push({ at, literal })
    })
  return found
}
