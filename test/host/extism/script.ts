/**
 * Random use of a kernel as plugins make it: blocks made, freed, written and read, input, output and error set, offsets
 * that are no blocks. The same seed is the same script; what a kernel answered is one number an operation.
 */

export type Kernel = Readonly<Record<string, (...args: ReadonlyArray<bigint | number>) => bigint | number | undefined>>

/** Mulberry32. */
export function random(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * below)
  }
}

/** Runs the script; every answer as text, handles included: block offsets are part of what Extism's own tests state. */
export function play(kernel: Kernel, seed: number, steps: number): ReadonlyArray<string> {
  const next = random(seed)
  const answers: Array<string> = []
  const blocks: Array<bigint> = []
  const call = (name: string, ...args: ReadonlyArray<bigint | number>): bigint | number | undefined => {
    const answer = (kernel[name] as Kernel[string])(...args)
    answers.push(`${name}(${args.join(",")})=${answer === undefined ? "" : String(answer)}`)
    return answer
  }
  const size = (): number => [next(8), next(64), next(300), next(3_000), next(70_000)][next(5)] as number
  /** Mostly a block, sometimes inside or near one. */
  const offset = (): bigint => {
    const block = blocks[next(blocks.length)] ?? 0n
    const kind = next(8)
    return kind < 5 ? block : kind === 5 ? block + BigInt(next(40)) : kind === 6 ? BigInt(next(80)) : block + 65_536n * BigInt(next(4_000) + 100)
  }
  /** A place in the data of a block, so that no header is overwritten. */
  const inside = (bytes: number): bigint | undefined => {
    const block = blocks[next(blocks.length)]
    if (block === undefined) return undefined
    const length = Number((kernel["length"] as Kernel[string])(block))
    return length < bytes ? undefined : block + BigInt(next(length - bytes + 1))
  }
  for (let step = 0; step < steps; step++) {
    switch (next(16)) {
      case 0:
      case 1:
      case 2:
      case 3: {
        const block = call("alloc", BigInt(size())) as bigint
        if (block !== 0n) blocks.push(block)
        break
      }
      case 4:
      case 5:
        call("free", offset())
        break
      case 6:
        call("length", offset())
        break
      case 7: {
        const block = blocks[next(blocks.length)]
        if (block !== undefined) call("length_unsafe", block)
        break
      }
      case 8: {
        const at = inside(8)
        if (at !== undefined) call("store_u64", at, BigInt.asIntN(64, BigInt(next(2 ** 32)) * BigInt(next(2 ** 32))))
        break
      }
      case 9: {
        const at = inside(1)
        if (at !== undefined) call("store_u8", at, next(256))
        break
      }
      case 10: {
        const at = inside(8)
        if (at !== undefined) call("load_u64", at)
        break
      }
      case 11: {
        const at = inside(1)
        if (at !== undefined) call("load_u8", at)
        else call("load_u8", BigInt(next(64)))
        break
      }
      case 12: {
        const at = inside(1)
        if (at !== undefined) call("input_set", at, BigInt(next(40)))
        call("input_offset")
        call("input_length")
        break
      }
      case 13:
        call("input_load_u8", BigInt(next(60)))
        call("input_load_u64", BigInt(next(60)))
        break
      case 14: {
        const at = next(8) === 0 ? BigInt(next(66)) : inside(1)
        if (at !== undefined) call("output_set", at, BigInt(next(2_000)))
        call("output_offset")
        call("output_length")
        break
      }
      default:
        if (next(40) === 0) {
          call("reset")
          blocks.length = 0
        } else call("error_set", offset())
        call("error_get")
    }
  }
  return answers
}
