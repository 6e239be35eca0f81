/**
 * The canonical ABI by hand, for AssemblyScript plugins whose strings are `string-encoding=utf16`: an AssemblyScript
 * string then is the canonical string, so lifting is one copy and lowering is none.
 *
 * Rules followed here (component-model `design/mvp/CanonicalABI.md`):
 * - the host allocates arguments and results of imports through `cabi_realloc`; the block then belongs to the guest;
 * - what an export returns stays valid until `cabi_post_…` runs, which frees it;
 * - lengths of strings are counted in UTF-16 code units, pointers to them are 2-byte aligned.
 *
 * Blocks come from `heap`, outside the garbage collector, which therefore neither moves nor frees them.
 */

/** `cabi_realloc`. A block of size 0 is never allocated: its pointer is the alignment, which is aligned and not null. */
export function cabiRealloc(old: usize, oldSize: usize, align: usize, newSize: usize): usize {
  if (oldSize == 0) return newSize == 0 ? align : heap.alloc(newSize)
  if (newSize == 0) {
    heap.free(old)
    return align
  }
  return heap.realloc(old, newSize)
}

/** Takes ownership of a lifted string's block and returns it as an AssemblyScript string. */
export function liftString(ptr: usize, units: u32): string {
  if (units == 0) return ""
  const bytes = <usize>units << 1
  // @ts-ignore: a function of the runtime, which the standard declarations leave out
  const text = changetype<string>(__new(bytes, idof<string>()))
  memory.copy(changetype<usize>(text), ptr, bytes)
  heap.free(ptr)
  return text
}

/** Takes ownership of a `list<u8>` that holds UTF-8 and returns it as a string. */
export function liftUtf8(ptr: usize, bytes: u32): string {
  if (bytes == 0) return ""
  const text = String.UTF8.decodeUnsafe(ptr, bytes)
  heap.free(ptr)
  return text
}

/** Frees the block of a string that is not needed. */
export function dropString(ptr: usize, units: u32): void {
  if (units != 0) heap.free(ptr)
}

/** Pointer to a string's code units: valid while `text` is reachable. For arguments of imports, which the host copies at once. */
// @ts-ignore: decorator
@inline
export function ptrOf(text: string): usize {
  return changetype<usize>(text)
}

/**
 * Writes a string's pointer and length at `at`, with the code units in a block of their own. A result needs the
 * copy: the collector may free the original before the host reads it.
 */
export function lowerString(at: usize, text: string): void {
  const units = text.length
  if (units == 0) {
    store<u32>(at, 2)
  } else {
    const bytes = <usize>units << 1
    const block = heap.alloc(bytes)
    memory.copy(block, changetype<usize>(text), bytes)
    store<u32>(at, <u32>block)
  }
  store<u32>(at, units, 4)
}

/** Frees what `lowerString` wrote at `at`. */
export function freeString(at: usize): void {
  dropString(load<u32>(at), load<u32>(at, 4))
}

/** A zeroed block for a result that does not fit one flat value. */
export function resultArea(size: usize): usize {
  const area = heap.alloc(size)
  memory.fill(area, 0, size)
  return area
}

/**
 * Stands in for AssemblyScript's `abort` (`asc --use abort=…`): without an `env.abort` import the module needs
 * nothing but what its world names. A failed assertion is then a trap, which the host reports.
 */
export function abortByTrap(_message: string | null, _file: string | null, _line: u32, _column: u32): void {
  unreachable()
}
