import { type PerTenant, perTenant } from "./config.ts"
import type { Awaitable, Immediate, Port } from "./port.ts"

/** A secret's value: text or bytes. */
export type SecretValue = string | Uint8Array

/** Credentials by name, read only. Their values are never logged, listed or put into an error. */
export interface SecretPort extends Port {
  get(key: string): Awaitable<SecretValue | undefined>
}

/** Secrets fixed when the host opens: `memorySecret({ tenants: { acme: { "api-key": "…" } } })`. Bytes are copied in and out. */
export function memorySecret(values: PerTenant<SecretValue> = {}): Immediate<SecretPort> {
  const found = perTenant("secret", values)
  return {
    get(key) {
      const value = found.get(key)
      return typeof value === "string" ? value : value?.slice()
    },
  }
}
