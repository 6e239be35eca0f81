/** WIT with a few tokens changed: mostly wrong, sometimes right, always near to what people write. */

const words =
  '{ } ( ) < > , ; : / . @ = -> % _ use as include with import export interface world package func async static constructor resource record variant enum flags type list option result tuple stream future map borrow own u8 string char self @since( @unstable( version feature x X a-b // /* */ /// " 1 0.1.0 \\ \0 \ufeff ä'.split(
    " ",
  )

/** Whole numbers from 0 to below a bound, from a seed. */
export function numbers(seed: number): (below: number) => number {
  let state = seed >>> 0
  return (below) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

/** `text` with `count` tokens taken out, put in, exchanged or cut away. */
export function mutated(text: string, count: number, int: (below: number) => number): string {
  const tokens = text.match(/[\w%-]+|\s+|[^\w\s]/g) ?? []
  for (let n = count; n > 0; n--) {
    const [at, other] = [int(tokens.length), int(tokens.length)]
    const word = words[int(words.length)] as string
    const edits = [
      () => tokens.splice(at, 1),
      () => tokens.splice(at, 0, ` ${word} `),
      () => (tokens[at] = word),
      () => (tokens[at] = tokens[other] as string),
      () => tokens.splice(at, int(200)),
    ]
    edits[int(edits.length)]?.()
  }
  return tokens.join("")
}
