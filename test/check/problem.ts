/** What a check reports: one line each, with the place first. An empty list is a pass. */
export type Problems = ReadonlyArray<string>

/** One check of `npm run check`. */
export interface Check {
  readonly name: string
  readonly run: () => Promise<Problems>
}
