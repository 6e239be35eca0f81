/** `wasi:keyvalue/store` for AssemblyScript plugins: one bucket, opened once and dropped by its owner. */
import { liftString, liftUtf8, ptrOf } from "./abi.as"

// @ts-ignore: decorator
@external("wasi:keyvalue/store@0.2.0-draft", "open")
declare function openImport(identifier: usize, units: u32, result: usize): void
// @ts-ignore: decorator
@external("wasi:keyvalue/store@0.2.0-draft", "[method]bucket.get")
declare function getImport(bucket: i32, key: usize, units: u32, result: usize): void
// @ts-ignore: decorator
@external("wasi:keyvalue/store@0.2.0-draft", "[method]bucket.set")
declare function setImport(bucket: i32, key: usize, units: u32, value: usize, valueBytes: u32, result: usize): void
// @ts-ignore: decorator
@external("wasi:keyvalue/store@0.2.0-draft", "[resource-drop]bucket")
declare function dropImport(bucket: i32): void

/**
 * Where the host writes a `result<T, error>`: tag at 0, payload at 4. `error` is a variant of 12 bytes (tag, string),
 * `option<list<u8>>` one of 12, a handle one of 4; so 16 bytes hold any of them.
 */
const area: usize = memory.data(16, 4)

/** Reads the error of a failed operation and frees its text. */
function problem(): string {
  const tag = load<u8>(area, 4)
  if (tag == 0) return "there is no such store"
  if (tag == 1) return "access was denied"
  return liftString(load<u32>(area, 8), load<u32>(area, 12))
}

/** Why the last operation failed; empty after one that did not. */
export let failure: string = ""

export class Bucket {
  private constructor(private handle: i32) {}

  /** Opens a bucket, or returns null and sets `failure`. */
  static open(identifier: string): Bucket | null {
    openImport(ptrOf(identifier), identifier.length, area)
    if (load<u8>(area) != 0) {
      failure = problem()
      return null
    }
    failure = ""
    return new Bucket(load<i32>(area, 4))
  }

  /** The value under `key` as text, or null where there is none or `failure` says why not. */
  get(key: string): string | null {
    getImport(this.handle, ptrOf(key), key.length, area)
    if (load<u8>(area) != 0) {
      failure = problem()
      return null
    }
    failure = ""
    return load<u8>(area, 4) == 0 ? null : liftUtf8(load<u32>(area, 8), load<u32>(area, 12))
  }

  /** Writes `value` as UTF-8; false, with `failure` set, where the host refuses. */
  set(key: string, value: string): bool {
    const bytes = String.UTF8.encode(value)
    setImport(this.handle, ptrOf(key), key.length, changetype<usize>(bytes), bytes.byteLength, area)
    failure = load<u8>(area) != 0 ? problem() : ""
    return failure.length == 0
  }

  /** Gives the handle back; the bucket cannot be used afterwards. */
  drop(): void {
    dropImport(this.handle)
  }
}

