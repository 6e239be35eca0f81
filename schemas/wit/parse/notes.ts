/** What text says beyond the model, by owner and name. Places and texts are worked out when they are asked for. */
import { positionAt } from "../../value/excerpt.ts"
import type { TypeName } from "../model.ts"
import type { Note, Notes } from "./package.ts"
import type { Head, SourceFile } from "./syntax.ts"

export interface NoteSyntax {
  readonly file: SourceFile
  readonly at: number
  readonly head: Head
  readonly alias?: string
  readonly use?: TypeName & { readonly interface: string }
  readonly implements?: string
}

const nothing: Note = {}

export class NoteTable implements Notes {
  readonly #own = new WeakMap<object, NoteSyntax>()
  readonly #parts = new WeakMap<object, Map<string, NoteSyntax>>()
  readonly #made = new WeakMap<NoteSyntax, Note>()

  set(owner: object, note: NoteSyntax): void {
    this.#own.set(owner, note)
  }

  setPart(owner: object, name: string, note: NoteSyntax): void {
    const parts = this.#parts.get(owner) ?? new Map<string, NoteSyntax>()
    this.#parts.set(owner, parts.set(name, note))
  }

  /** What is known of the parts of `from` is known of those of `to`. */
  share(to: object, from: object): void {
    const parts = this.#parts.get(from)
    if (parts !== undefined) this.#parts.set(to, parts)
  }

  part(owner: object, name: string): NoteSyntax | undefined {
    return this.#parts.get(owner)?.get(name)
  }

  of(owner: object, name?: string): Note {
    const syntax = name === undefined ? this.#own.get(owner) : this.part(owner, name)
    if (syntax === undefined) return nothing
    let note = this.#made.get(syntax)
    if (note === undefined) {
      note = this.#make(syntax)
      this.#made.set(syntax, note)
    }
    return note
  }

  #make({ file, at, head, alias, use, implements: implemented }: NoteSyntax): Note {
    return {
      place: { file: file.name, ...positionAt(file.text, at) },
      ...(head.docs === undefined ? {} : { docs: head.docs }),
      ...(head.since === undefined ? {} : { since: head.since.version.text }),
      ...(head.unstable === undefined ? {} : { unstable: head.unstable }),
      ...(head.deprecated === undefined ? {} : { deprecated: head.deprecated.version.text }),
      ...(head.externalId === undefined ? {} : { externalId: head.externalId }),
      ...(alias === undefined ? {} : { alias }),
      ...(use === undefined ? {} : { use }),
      ...(implemented === undefined ? {} : { implements: implemented }),
    }
  }
}
