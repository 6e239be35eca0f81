/**
 * The small module between a guest and the host functions that may wait. JavaScript is called plainly first; only when it
 * has left a promise behind does the guest enter an import that suspends it:
 *
 *     (func $f (param …) (result r)
 *       (call $plain (local.get …)) (if (global.get $pending) (then … (call $wait))))
 *
 * So an answer that is there costs no suspension, one instance serves `call` and `callSync`, and a call from a start
 * function, `realloc`, `post-return` or a destructor, where the engine would throw into the guest, comes to the host,
 * which can trap. The module is made from signatures alone: no byte of it is the guest's.
 */
import type { CoreSignature } from "../abi/mod.ts"

const types: Readonly<Record<string, number>> = { i32: 0x7f, i64: 0x7e, f32: 0x7d, f64: 0x7c }

/** Unsigned LEB128. */
export function leb(value: number): Array<number> {
  const out: Array<number> = []
  for (; value > 0x7f; value = Math.floor(value / 128)) out.push((value % 128) | 0x80)
  out.push(value)
  return out
}

export const vector = (items: ReadonlyArray<ReadonlyArray<number>>): Array<number> => [...leb(items.length), ...items.flat()]
export const section = (id: number, items: ReadonlyArray<ReadonlyArray<number>>): Array<number> => {
  const body = vector(items)
  return [id, ...leb(body.length), ...body]
}
export const text = (name: string): Array<number> => [...leb(name.length), ...Array.from(name, (char) => char.charCodeAt(0))]
export const signature = ({ params, results }: CoreSignature): Array<number> => [
  0x60,
  ...vector(params.map((type) => [types[type] as number])),
  ...vector(results.map((type) => [types[type] as number])),
]

/** The import that waits and answers with this type: `w`, `wi32`, … */
export const waitName = ({ results }: CoreSignature): string => `w${results[0] ?? ""}`

/**
 * A module that imports `p`.NAME (plain) for each function, `h`.`wTYPE` (suspending) for each type of result, and
 * `h`.`pending`, and exports each function by its NAME.
 */
export function shimModule(functions: ReadonlyMap<string, CoreSignature>): WebAssembly.Module {
  const all = [...functions]
  const waits = [...new Map(all.map(([, one]) => [waitName(one), one.results]))]
  const imports = [
    ...all.map(([name], i) => [...text("p"), ...text(name), 0x00, ...leb(i)]),
    ...waits.map(([name], i) => [...text("h"), ...text(name), 0x00, ...leb(all.length + i)]),
    [...text("h"), ...text("pending"), 0x03, 0x7f, 0x01],
  ]
  const bodies = all.map(([, one], i) => {
    const wait = all.length + waits.findIndex(([name]) => name === waitName(one))
    const result = one.results[0]
    const code = [
      ...(result === undefined ? [0x00] : [0x01, 0x01, types[result] as number]),
      ...one.params.flatMap((_, p) => [0x20, ...leb(p)]),
      ...[0x10, ...leb(i)],
      // The local behind the parameters keeps what the plain call answered.
      ...(result === undefined ? [] : [0x21, ...leb(one.params.length)]),
      ...[0x23, 0x00, 0x04, 0x40, 0x10, ...leb(wait)],
      ...(result === undefined ? [] : [0x21, ...leb(one.params.length)]),
      0x0b,
      ...(result === undefined ? [] : [0x20, ...leb(one.params.length)]),
      0x0b,
    ]
    return [...leb(code.length), ...code]
  })
  const first = all.length + waits.length
  const bytes = [
    ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
    ...section(1, [...all.map(([, one]) => signature(one)), ...waits.map(([, results]) => signature({ params: [], results }))]),
    ...section(2, imports),
    ...section(
      3,
      all.map((_, i) => leb(i)),
    ),
    ...section(
      7,
      all.map(([name], i) => [...text(name), 0x00, ...leb(first + i)]),
    ),
    ...section(10, bodies),
  ]
  return new WebAssembly.Module(Uint8Array.from(bytes))
}
