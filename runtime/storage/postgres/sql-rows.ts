/** Rows of a service's statement: each came as `record_send` writes it, which says the type of every column. */
import { StorageError } from "../../../schemas/error/storage.ts"
import type { SqlRows, SqlStatement, SqlValue } from "../../port/sql.ts"
import type { Row } from "./connection.ts"

const decoder = new TextDecoder("utf-8", { ignoreBOM: true })

type Decode = (bytes: DataView, raw: Uint8Array) => bigint | number | string | Uint8Array
const text: Decode = (_, raw) => decoder.decode(raw)

/** By the number of the type in `pg_type`, which never changes. */
const decoders: Readonly<Record<number, Decode>> = {
  16: (bytes) => BigInt(bytes.getUint8(0)),
  17: (_, raw) => new Uint8Array(raw),
  20: (bytes) => bytes.getBigInt64(0),
  21: (bytes) => BigInt(bytes.getInt16(0)),
  23: (bytes) => BigInt(bytes.getInt32(0)),
  26: (bytes) => BigInt(bytes.getUint32(0)),
  700: (bytes) => bytes.getFloat32(0),
  701: (bytes) => bytes.getFloat64(0),
  18: text,
  19: text,
  25: text,
  114: text,
  705: text,
  1042: text,
  1043: text,
  // A version of the format first.
  3802: (_, raw) => decoder.decode(raw.subarray(1)),
}

/** @throws StorageError `Sql` for a type that SQL here has no value for, and for an integer that is no number */
export function rowsOfSql(store: string, { service, isSafe = false, isArrays = false }: SqlStatement, found: ReadonlyArray<Row>): SqlRows {
  const names = (found[0]?.["names"] ?? []) as ReadonlyArray<string>
  const refuse = (sqlState: string, detail: string): never => {
    throw new StorageError("Sql", { store, service, sqlState, detail })
  }
  const valueOf = (type: number, raw: Uint8Array, name: string): SqlValue => {
    const decode = decoders[type]
    if (decode === undefined)
      return refuse("0A000", `column "${name}" is of a type (${type}) that has no value here: cast it to text, bigint, double precision or bytea`)
    const value = decode(new DataView(raw.buffer, raw.byteOffset, raw.length), raw)
    if (typeof value !== "bigint" || isSafe) return value
    const number = Number(value)
    return Number.isSafeInteger(number) ? number : refuse("22003", `column "${name}" is ${value}, which is no safe number: ask for integers as bigint`)
  }
  return found.map((row) => {
    const body = row["body"] as Uint8Array
    const view = new DataView(body.buffer, body.byteOffset, body.length)
    const values: Array<SqlValue> = []
    let at = 4
    for (let left = view.getInt32(0); left > 0; left--) {
      const [type, length] = [view.getUint32(at), view.getInt32(at + 4)]
      at += 8
      values.push(length < 0 ? null : valueOf(type, body.subarray(at, at + length), names[values.length] ?? ""))
      at += Math.max(length, 0)
    }
    return isArrays ? values : Object.fromEntries(values.map((value, i) => [names[i] as string, value]))
  })
}
