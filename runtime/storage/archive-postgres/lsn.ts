/**
 * Places in a server's log: bytes written since the server was made ("LSN"), as a number and as PostgreSQL writes them. As
 * numbers they are exact up to 8 PiB of log.
 */

/** `16/B374D848` as a number; undefined for other texts. */
export function lsnOf(text: string): number | undefined {
  const found = /^([\dA-Fa-f]{1,8})\/([\dA-Fa-f]{1,8})$/.exec(text)
  if (found === null) return undefined
  const lsn = Number.parseInt(found[1] as string, 16) * 2 ** 32 + Number.parseInt(found[2] as string, 16)
  return Number.isSafeInteger(lsn) ? lsn : undefined
}

const hex = (value: number, digits = 0): string => value.toString(16).toUpperCase().padStart(digits, "0")

export const lsnText = (lsn: number): string => `${hex(Math.floor(lsn / 2 ** 32))}/${hex(lsn % 2 ** 32)}`

/** Where the file of the log begins that a place is in. */
export const segmentStart = (lsn: number, segmentBytes: number): number => lsn - (lsn % segmentBytes)

/** The name of that file. */
export function segmentName(lsn: number, segmentBytes: number, timeline: number): string {
  const [number, each] = [Math.floor(lsn / segmentBytes), 2 ** 32 / segmentBytes]
  return hex(timeline, 8) + hex(Math.floor(number / each), 8) + hex(number % each, 8)
}
