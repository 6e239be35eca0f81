/**
 * `SLM1`, little-endian: capacity, refill (u64), keys-max (u32), now (u64), count (u32), and for each bucket the key's UTF-8 (u32
 * and bytes), tokens, thousandths, time (u64).
 */
import { Config } from "../bindings/core"
import { Bucket, State } from "./state.as"

const MAGIC: u32 = 0x314d4c53
const HEAD_BYTES: usize = 36
const BUCKET_BYTES: usize = 28

export function write(state: State): StaticArray<u8> {
  const keys = state.buckets.keys()
  const texts = new Array<ArrayBuffer>(keys.length)
  let size = HEAD_BYTES
  for (let i = 0; i < keys.length; i++) {
    texts[i] = String.UTF8.encode(keys[i])
    size += BUCKET_BYTES + texts[i].byteLength
  }
  const bytes = new StaticArray<u8>(<i32>size)
  let at = changetype<usize>(bytes)
  store<u32>(at, MAGIC)
  store<u64>(at, state.config.capacity, 4)
  store<u64>(at, state.config.refillPerSecond, 12)
  store<u32>(at, state.config.keysMax, 20)
  store<u64>(at, state.nowMs, 24)
  store<u32>(at, keys.length, 32)
  at += HEAD_BYTES
  for (let i = 0; i < keys.length; i++) {
    const bucket = state.buckets.get(keys[i])
    const length = <usize>texts[i].byteLength
    store<u32>(at, <u32>length)
    memory.copy(at + 4, changetype<usize>(texts[i]), length)
    at += 4 + length
    store<u64>(at, bucket.tokens)
    store<u64>(at, bucket.thousandths, 8)
    store<u64>(at, bucket.atMs, 16)
    at += 24
  }
  return bytes
}

/** The state in `bytes`, or null where they are none: every length is compared with what is left, and writing it again gives the same. */
export function read(bytes: StaticArray<u8>): State | null {
  const size = <usize>bytes.length
  let at = changetype<usize>(bytes)
  const end = at + size
  if (size < HEAD_BYTES || load<u32>(at) != MAGIC) return null
  const state = new State(new Config(load<u64>(at, 4), load<u64>(at, 12), load<u32>(at, 20)))
  state.nowMs = load<u64>(at, 24)
  const count = load<u32>(at, 32)
  at += HEAD_BYTES
  if (count > state.config.keysMax) return null
  for (let i: u32 = 0; i < count; i++) {
    if (end - at < BUCKET_BYTES) return null
    const length = <usize>load<u32>(at)
    if (end - at - BUCKET_BYTES < length) return null
    const key = String.UTF8.decodeUnsafe(at + 4, length)
    at += 4 + length
    const bucket = new Bucket(load<u64>(at), load<u64>(at, 8), load<u64>(at, 16))
    if (bucket.tokens > state.config.capacity || bucket.thousandths > 999 || bucket.atMs > state.nowMs || state.buckets.has(key)) return null
    state.buckets.set(key, bucket)
    at += 24
  }
  return at == end && isSame(write(state), bytes) ? state : null
}

function isSame(a: StaticArray<u8>, b: StaticArray<u8>): bool {
  return a.length == b.length && memory.compare(changetype<usize>(a), changetype<usize>(b), a.length) == 0
}
