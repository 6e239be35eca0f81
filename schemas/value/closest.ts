/** Names near a misspelt one, best first, at most three: for "did you mean". Damerau–Levenshtein distance (optimal string alignment), bounded. */
export function closest(name: string, known: ReadonlyArray<string>): ReadonlyArray<string> {
  const wanted = name.toLowerCase().slice(0, 200)
  return known
    .map((candidate) => {
      const folded = candidate.toLowerCase().slice(0, 200)
      // The part after the last separator alone is what people type.
      const tail = folded.slice(Math.max(folded.lastIndexOf("#"), folded.lastIndexOf("/")) + 1)
      return { candidate, distance: Math.min(distance(wanted, folded), distance(wanted, tail) + (tail === folded ? 0 : 0.5)) }
    })
    .filter(({ distance }) => distance <= Math.max(2, wanted.length / 3))
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
