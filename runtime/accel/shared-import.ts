/** A module whose memory is imported, rewritten so that it takes a memory that threads share: one build serves both. */

const importSection = 2
const memoryImport = 2
/** Of limits: a maximum is there, and the memory is shared. */
const sharedFlags = 3
/** Pages of 64 KiB: all that addresses of 32 bits reach. */
const pagesMax = 65_536

function readUnsigned(bytes: Uint8Array, at: number): readonly [value: number, next: number] {
  let [value, shift] = [0, 0]
  for (let i = at; ; i++) {
    const byte = bytes[i] as number
    value += (byte & 0x7f) * 2 ** shift
    if (byte < 0x80) return [value, i + 1]
    shift += 7
  }
}

function unsigned(value: number): ReadonlyArray<number> {
  const bytes: Array<number> = []
  for (let left = value; ; left = Math.floor(left / 128)) {
    if (left < 128) return [...bytes, left]
    bytes.push((left % 128) | 0x80)
  }
}

/** Of our own builds, which import one thing, `env.memory`; anything else is a bug and throws. */
export function sharing(module: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  for (let at = 8; at < module.length;) {
    const id = module[at]
    const [size, begin] = readUnsigned(module, at + 1)
    if (id !== importSection) {
      at = begin + size
      continue
    }
    let place = readUnsigned(module, begin)[1]
    for (let name = 0; name < 2; name++) {
      const [length, from] = readUnsigned(module, place)
      place = from + length
    }
    const kind = module[place]
    if (kind !== memoryImport || readUnsigned(module, begin)[0] !== 1) break
    const [least, afterLeast] = readUnsigned(module, place + 2)
    const end = module[place + 1] === 0 ? afterLeast : readUnsigned(module, afterLeast)[1]
    if (end !== begin + size) break
    const body = [...module.subarray(begin, place + 1), sharedFlags, ...unsigned(least), ...unsigned(pagesMax)]
    return new Uint8Array([...module.subarray(0, at), importSection, ...unsigned(body.length), ...body, ...module.subarray(begin + size)])
  }
  throw new Error("The module imports something else than one memory")
}
