import { VerifyError } from "../../schemas/error/verify.ts"
import { Reader } from "../harden/reader.ts"

/** Longest name accepted anywhere in a component, in bytes. Names reach messages, maps and logs. */
export const nameBytesMax = 4096

/** Reads a component: the cursor with sections, vectors and errors to throw. */
export class ComponentReader extends Reader {
  malformed(detail: string, offset: number = this.at): VerifyError {
    return new VerifyError("Malformed", { offset, detail })
  }

  unsupported(feature: string, offset: number = this.at): VerifyError {
    return new VerifyError("Unsupported", { offset, feature })
  }

  get isAtEnd(): boolean {
    return this.at >= this.end
  }

  /** A vector's length; each element takes at least `bytesMin` bytes, so a length beyond the rest is refused before anything is allocated. */
  count(bytesMin = 1): number {
    const start = this.at
    const count = this.u32()
    if (count * bytesMin > this.end - this.at) throw this.malformed(`a vector of ${count} elements does not fit the section`, start)
    return count
  }

  name(): string {
    return this.text(nameBytesMax)
  }

  /** A reader over the next `length` bytes, which this one skips. */
  slice(length: number): ComponentReader {
    if (length > this.end - this.at) throw this.malformed("a section does not fit the file")
    const inner = new ComponentReader(this.bytes, this.at, this.at + length)
    this.at += length
    return inner
  }
}
