/** Characters that are compared, and cells of the distance table filled in all (some 20 ms): both names can be a stranger's choice. */
const charsMax = 200
const cellsMax = 1_000_000

/** Names near a misspelt one, best first, at most three: for "did you mean". Damerau–Levenshtein distance (optimal string alignment), bounded. */
export function closest(name: string, known: ReadonlyArray<string>): ReadonlyArray<string> {
  const wanted = name.slice(0, charsMax).toLowerCase()
  const distanceMax = Math.max(2, wanted.length / 3)
  let cellsLeft = cellsMax
  const from = (text: string): number => {
    // Texts are at least as far apart as their lengths.
    if (Math.abs(text.length - wanted.length) > distanceMax) return Infinity
    cellsLeft -= text.length * wanted.length
    return cellsLeft < 0 ? Infinity : distance(wanted, text)
  }
  return known
    .map((candidate) => {
      const folded = candidate.slice(0, charsMax).toLowerCase()
      // The part after the last separator alone is what people type.
      const tail = folded.slice(Math.max(folded.lastIndexOf("#"), folded.lastIndexOf("/")) + 1)
      return { candidate, distance: tail === folded ? from(folded) : Math.min(from(folded), from(tail) + 0.5) }
    })
    .filter(({ distance }) => distance <= distanceMax)
    .toSorted((a, b) => a.distance - b.distance)
    .slice(0, 3)
    .map(({ candidate }) => candidate)
}

function distance(a: string, b: string): number {
  let before: ReadonlyArray<number> = []
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1
      let best = Math.min((previous[j] as number) + 1, (row[j - 1] as number) + 1, (previous[j - 1] as number) + cost)
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) best = Math.min(best, (before[j - 2] as number) + 1)
      row.push(best)
    }
    before = previous
    previous = row
  }
  return previous[b.length] as number
}
