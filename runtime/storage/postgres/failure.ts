/** What a server's refusals mean for the callers of a store. */
import { SteleError } from "../../../schemas/error/family.ts"
import { StorageError } from "../../../schemas/error/storage.ts"
import type { Address } from "./address.ts"
import { ServerError } from "./connection.ts"

/** Serialization failure, deadlock, lock timeout: nothing was kept, and the same may succeed at once. */
const contended = new Set(["40001", "40P01", "55P03"])
export const isContended = (error: unknown): boolean => error instanceof ServerError && error.sqlState !== undefined && contended.has(error.sqlState)

/** `data_corrupted`, `index_corrupted`: the server's own finding. */
const damaged = new Set(["XX001", "XX002"])

export const isLost = (error: unknown): boolean => error instanceof ServerError && error.isLost

/** A server that starts, ends, or has no room for another session yet. */
const passing = new Set(["57P01", "57P02", "57P03", "53300"])
/** Will the next attempt to open a session perhaps succeed? */
export const isPassing = (error: unknown): boolean =>
  error instanceof ServerError && (error.sqlState === undefined ? !isLogin(error) : passing.has(error.sqlState) || error.sqlState.startsWith("08"))

/** The driver itself, when it has no password for a server that asks for one, or shares no method with it. */
const isLogin = (error: ServerError): boolean =>
  (error.cause as { readonly reason?: { readonly _tag?: string } } | undefined)?.reason?._tag === "AuthenticationError"

export const detailOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

/** Anything that went wrong with a server as a typed error. */
export function storageError(address: Address, error: unknown): Error {
  if (error instanceof SteleError) return error
  const store = address.name
  if (error instanceof ServerError) {
    const { sqlState, message } = error
    if (sqlState?.startsWith("28") === true || isLogin(error))
      return new StorageError("Login", { store, user: address.user, detail: message }, { cause: error })
    if (sqlState === "3D000") return new StorageError("NoDatabase", { store, database: address.database }, { cause: error })
    if (sqlState !== undefined && damaged.has(sqlState)) return new StorageError("Corrupt", { store, table: "postgresql", key: message }, { cause: error })
  }
  return new StorageError("Unreachable", { store, detail: detailOf(error) }, { cause: error })
}
