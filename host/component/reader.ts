import { VerifyError } from "../../schemas/error/verify.ts"
import { Reader } from "../../schemas/wasm/reader.ts"
import type { AsyncForms } from "./decode.ts"

/** A component is asynchronous: it can be read by what `host/async` adds. */
export class AsyncForm extends VerifyError {}

/** Longest name accepted anywhere in a component, in bytes. Names reach messages, maps and logs. */
export const nameBytesMax = 4096

/** Reads a component: the cursor with sections, vectors and errors to throw. */
export class ComponentReader extends Reader {
  /** How asynchronous canonical functions are read; absent until a component shows that it has some. */
  readonly forms: AsyncForms | undefined

  constructor(bytes: Uint8Array, at: number, end: number, forms: AsyncForms | undefined) {
    super(bytes, at, end)
    this.forms = forms
  }

  /** Refuses an asynchronous form where nothing was loaded that reads it. */
  async(feature: string, offset: number): AsyncForms {
    if (this.forms === undefined) throw new AsyncForm("Unsupported", { offset, feature })
    return this.forms
  }

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
    const inner = new ComponentReader(this.bytes, this.at, this.at + length, this.forms)
    this.at += length
    return inner
  }
}
