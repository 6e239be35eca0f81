/** Numbers of documents: 1, 2, 3 … of each series, without gaps, since a number is given out in the batch that keeps its document. */
import type { Operation } from "../port/store.ts"
import { asRead, putText, textAt } from "./record.ts"
import { type Books, isConflictAt, rowAt } from "./rows.ts"

const prefix = "number/"
const digits = 6
/** So that keys are in the order of their numbers. */
const keyDigits = 12

export interface Numbering {
  /** As documents show it: `INV-000001`. */
  readonly number: string
  /** The conditions and rows of giving it to a document, whose id is then found by it. */
  readonly operations: (id: string) => ReadonlyArray<Operation>
}

const numberedKey = (series: string, n: number): string => `numbered/${series}/${String(n).padStart(keyDigits, "0")}`

export async function nextNumber(books: Books, series: string): Promise<Numbering> {
  const last = await textAt(books, prefix + series)
  const n = Number(last?.text ?? 0) + 1
  return {
    number: `${series}-${String(n).padStart(digits, "0")}`,
    operations: (id) => [
      asRead(books, { prefix }, series, last === undefined ? undefined : { value: undefined, version: last.version }),
      putText(books, prefix + series, String(n)),
      putText(books, numberedKey(series, n), id),
    ],
  }
}

/** Whether a batch was refused because another document has got the number. */
export const isNumberTaken = (error: unknown, books: Books, series: string): boolean => isConflictAt(error, rowAt(books.entity, prefix + series))

/** How many numbers of a series are given out. */
export const lastNumber = async (books: Books, series: string): Promise<number> => Number((await textAt(books, prefix + series))?.text ?? 0)

/** The document that has a number; undefined for one that is not given out. */
export const documentNumbered = async (books: Books, series: string, n: number): Promise<string | undefined> =>
  (await textAt(books, numberedKey(series, n)))?.text
