/**
 * `wasi:config`: settings by name, only those granted. WIT: `store` of `wasi:config@0.2.0-rc.1` at bytecodealliance/wasmtime
 * 18b2cce0761a9c442d608922b9bd259419766f2b (the same text was `0.2.0-draft` before, f80bbf2ff329f8d6d3ffdf451472a7b6dfad8006),
 * `runtime` of `0.2.0-draft` at d68819a0a520072852836deb78bfaa5958331f38.
 */
import { func, list, option, primitive, result, tuple, variant } from "../../schemas/wit/model.ts"
import { type Awaitable, tenantKey, tenantPrefix } from "../port/mod.ts"
import type { CallContext, Capability } from "./capability.ts"
import { isWithin, nameForm } from "./scope.ts"
import { after, err, hostInterface, ok, type Result, serve } from "./serve.ts"

/** Settings `get-all` looks at. */
export const settingsMax = 10_000

type ConfigFailure = { readonly tag: "upstream"; readonly val: string }
const denied = (call: CallContext, grant: string) => err<ConfigFailure>({ tag: "upstream", val: call.denied(grant).message })

function get(call: CallContext, key: string): Awaitable<Result<string | undefined, ConfigFailure>> {
  const grant = call.grants.match("config", key)
  if (grant === undefined) return denied(call, `config:${key}`)
  return after(call.ports.config.get(tenantKey(call.tenant, key)), (value) => {
    call.used(grant, key.length + (value?.length ?? 0))
    return ok(value)
  })
}

function getAll(call: CallContext): Awaitable<Result<ReadonlyArray<readonly [string, string]>, ConfigFailure>> {
  if (!call.grants.reaches("config")) return denied(call, "config:*")
  return after(call.ports.config.list(tenantPrefix(call.tenant), settingsMax), (settings) => {
    const visible: Array<readonly [string, string]> = []
    for (const [name, value] of settings) {
      const grant = call.grants.match("config", name)
      if (grant === undefined) continue
      call.used(grant, name.length + value.length)
      visible.push([name, value])
    }
    return ok(visible)
  })
}

const { string } = primitive

const parts = (errorName: string) => {
  const error = variant({ upstream: string, io: string })
  return {
    types: { [errorName]: error },
    functions: {
      get: serve(func({ key: string }, result(option(string), error)), get),
      "get-all": serve(func({}, result(list(tuple(string, string)), error)), getAll),
    },
  }
}

export const config: Capability = {
  name: "config",
  risk: "The plugin reads the settings named.",
  mode: "either",
  forms: ["config:NAME"],
  isInert: false,
  parse: nameForm("config"),
  subset: isWithin,
  interfaces: [
    hostInterface("wasi:config/store", "0.2.0-rc.1", parts("error")),
    hostInterface("wasi:config/store", "0.2.0-draft", parts("error")),
    hostInterface("wasi:config/runtime", "0.2.0-draft", parts("config-error")),
  ],
  needs: () => "config:*",
  heads: () => ["config"],
  ports: ["config"],
}
