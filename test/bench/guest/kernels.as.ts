/** CPU kernels without host calls: what metering costs is measured on these. Each returns a checksum. */
export { cabiRealloc } from "../../../plugins/sdk/abi.as"

const bytes = new StaticArray<u8>(65_536)
const a = new StaticArray<f64>(64 * 64)
const b = new StaticArray<f64>(64 * 64)
const c = new StaticArray<f64>(64 * 64)

/** A tight integer loop: xorshift. */
export function tight(): u32 {
  let x: u32 = 2_463_534_242
  for (let i = 0; i < 1_000_000; i++) {
    x ^= x << 13
    x ^= x >> 17
    x ^= x << 5
  }
  return x
}

export function sieve(): u32 {
  let count: u32 = 0
  memory.fill(changetype<usize>(bytes), 1, 65_536)
  for (let i = 2; i < 65_536; i++) {
    if (unchecked(bytes[i]) == 0) continue
    count++
    for (let j = i * 2; j < 65_536; j += i) unchecked((bytes[j] = 0))
  }
  return count
}

/** One block of SHA-256-like rounds over a buffer: rotations, additions, table loads. */
export function mix(): u32 {
  let h0: u32 = 0x6a09e667
  let h1: u32 = 0xbb67ae85
  for (let i = 0; i < 65_536 * 4; i++) {
    const word = <u32>unchecked(bytes[i & 65_535])
    h0 = rotr(h0, 7) ^ (rotr(h1, 11) + word)
    h1 = (h1 + rotr(h0, 25)) ^ ((h0 & h1) + 0x428a2f98)
  }
  return h0 ^ h1
}

/** A bytecode interpreter: a loop around a switch, as scripting guests run. */
export function interpreter(): u32 {
  // r0 counts down from 100,000; r1 accumulates: add, xor, decrement, jump.
  let pc: u32 = 0
  let r0: u32 = 100_000
  let r1: u32 = 1
  while (r0 < 200_000) {
    switch (pc & 7) {
      case 0:
        r1 += r0
        pc = 1
        break
      case 1:
        r1 ^= r1 << 3
        pc = 2
        break
      case 2:
        r0--
        pc = 3
        break
      case 3:
        pc = r0 == 0 ? 4 : 5
        break
      case 4:
        return r1
      case 5:
        r1 = rotl(r1, 5)
        pc = 6
        break
      case 6:
        r1 -= 0x9e3779b9
        pc = 0
        break
      default:
        return 0
    }
  }
  return 0
}

function fibonacci(n: u32): u32 {
  return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2)
}

export function fib(): u32 {
  return fibonacci(24)
}

export function matmul(): u32 {
  for (let i = 0; i < 64 * 64; i++) {
    unchecked((a[i] = <f64>(i & 31) * 0.5))
    unchecked((b[i] = <f64>(i & 15) * 0.25))
  }
  for (let i = 0; i < 64; i++) {
    for (let j = 0; j < 64; j++) {
      let sum: f64 = 0
      for (let k = 0; k < 64; k++) sum += unchecked(a[i * 64 + k]) * unchecked(b[k * 64 + j])
      unchecked((c[i * 64 + j] = sum))
    }
  }
  return <u32>unchecked(c[4_095])
}

export function mandelbrot(): u32 {
  let inside: u32 = 0
  for (let py = 0; py < 48; py++) {
    for (let px = 0; px < 64; px++) {
      const x0 = <f64>px / 32 - 1.5
      const y0 = <f64>py / 24 - 1
      let x: f64 = 0
      let y: f64 = 0
      let i = 0
      while (i < 100 && x * x + y * y < 4) {
        const t = x * x - y * y + x0
        y = 2 * x * y + y0
        x = t
        i++
      }
      if (i == 100) inside++
    }
  }
  return inside
}
