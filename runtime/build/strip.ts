/** Strips custom sections (names, producers) from a component and the modules and components in it: what runs stays byte for byte. */

/** Sections of a component that hold a core module and a component. */
const nested = new Set([1, 4])

function u32(bytes: Uint8Array, at: number): { readonly value: number; readonly end: number } {
  let value = 0
  let end = at
  for (let shift = 0; ; shift += 7) {
    const byte = bytes[end++] as number
    value += (byte & 0x7f) * 2 ** shift
    if (byte < 0x80) return { value, end }
  }
}

function leb(value: number): Uint8Array {
  const out: Array<number> = []
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return Uint8Array.from([...out, rest])
    out.push((rest % 128) | 0x80)
  }
}

/** Of a binary that a host has accepted: nothing is checked here. */
export function stripped(bytes: Uint8Array): Uint8Array {
  const isComponent = bytes[6] === 0x01
  const parts: Array<Uint8Array> = [bytes.subarray(0, 8)]
  for (let at = 8; at < bytes.length;) {
    const id = bytes[at] as number
    const { value: length, end: start } = u32(bytes, at + 1)
    const body = bytes.subarray(start, start + length)
    at = start + length
    if (id === 0) continue
    const kept = isComponent && nested.has(id) ? stripped(body) : body
    parts.push(Uint8Array.of(id), leb(kept.length), kept)
  }
  return Uint8Array.from(parts.flatMap((part) => [...part]))
}
