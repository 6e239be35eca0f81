import { ConfigError } from "../../schemas/error/mod.ts"
import { type Awaitable, compareUtf8, type Immediate, type Port, tenantOf, tenantPrefix } from "./port.ts"

/** Settings an operator gives to plugins: text by name, read only. */
export interface ConfigPort extends Port {
  get(key: string): Awaitable<string | undefined>
  /** Names and values visible to a tenant (`tenantPrefix(tenant)`), by name, at most `countMax`. */
  list(prefix: string, countMax: number): Awaitable<ReadonlyArray<readonly [name: string, value: string]>>
}

/** Values by name for every tenant, and values of single tenants, which win. */
export interface PerTenant<V> {
  readonly shared?: Readonly<Record<string, V>>
  readonly tenants?: Readonly<Record<string, Readonly<Record<string, V>>>>
}

/** The lookup behind config and secrets: a tenant's own value, else the shared one. */
export function perTenant<V>(port: string, values: PerTenant<V>) {
  for (const key of Object.keys(values))
    if (key !== "shared" && key !== "tenants") throw new ConfigError("UnknownOption", { option: `${port}.${key}`, known: ["shared", "tenants"] })
  // Maps, so that a guest's choice of name never meets a prototype.
  const shared = new Map(Object.entries(values.shared ?? {}))
  const own = new Map(Object.entries(values.tenants ?? {}).map(([tenant, of]) => [tenantPrefix(tenant), new Map(Object.entries(of))]))
  return {
    get(key: string): V | undefined {
      const prefix = tenantOf(key)
      const name = key.slice(prefix.length)
      return own.get(prefix)?.get(name) ?? shared.get(name)
    },
    visible: (prefix: string): Map<string, V> => new Map([...shared, ...(own.get(prefix) ?? [])]),
  }
}

/** Settings fixed when the host opens: `memoryConfig({ shared: { greeting: "hello" } })`. */
export function memoryConfig(values: PerTenant<string> = {}): Immediate<ConfigPort> {
  const found = perTenant("config", values)
  return {
    get: (key) => found.get(key),
    list: (prefix, countMax) => [...found.visible(prefix)].sort(([a], [b]) => compareUtf8(a, b)).slice(0, countMax),
  }
}

/** A port with settings of one plugin in front, which win. */
export function withSettings(own: Readonly<Record<string, string>>, port: ConfigPort): ConfigPort {
  const values = new Map(Object.entries(own))
  type Listed = Awaited<ReturnType<ConfigPort["list"]>>
  return {
    ...(port.isAsync === undefined ? {} : { isAsync: port.isAsync }),
    get: (key) => values.get(key.slice(tenantOf(key).length)) ?? port.get(key),
    list: (prefix, countMax) => {
      const merged = (listed: Listed): Listed => [...new Map([...listed, ...values])].sort(([a], [b]) => compareUtf8(a, b)).slice(0, countMax)
      const listed = port.list(prefix, countMax)
      return "then" in listed ? listed.then(merged) : merged(listed)
    },
  }
}
