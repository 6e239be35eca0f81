/**
 * `extism:host/env` less the kernel: settings, variables, HTTP and logs. Plugin development kits import these whether a plugin
 * uses them or not, so they link without a grant: without one a setting is absent, a message dropped, a request denied.
 */
import type { CoreValue } from "../../abi/number.ts"
import { config } from "../../capability/config.ts"
import { http } from "../../capability/http.ts"
import type { WholeResponse } from "../../capability/http/request.ts"
import { log, writeLog } from "../../capability/log.ts"
import { settled } from "../../capability/serve.ts"
import type { CoreFunctionType, CoreValueType } from "../../../schemas/wasm/core-module.ts"
import { type LogLevel, tenantKey } from "../../port/mod.ts"
import type { Outside, RawFunction, RawGrant, RawImport } from "../raw.ts"
import { readName, readBlock, readText, writeBlock, writeText } from "./block.ts"
import { headersJson, request, requestOutside } from "./http.ts"
import { envModule } from "./names.ts"
import { stateOf } from "./state.ts"

const serve = (
  name: string,
  params: ReadonlyArray<CoreValueType>,
  results: ReadonlyArray<CoreValueType>,
  call: RawFunction,
  grant?: RawGrant,
  outside?: Outside,
): RawImport => ({
  module: envModule,
  name,
  type: { params, results } satisfies CoreFunctionType,
  memory: "abi",
  call,
  ...(grant === undefined ? {} : { grant }),
  ...(outside === undefined ? {} : { outside }),
})

const configGrant: RawGrant = { text: "config:*", risk: config.risk, heads: ["config"], isDeniedWhenCalled: true }
const httpGrant: RawGrant = { text: "http:*:*", risk: http.risk, heads: ["http"], isDeniedWhenCalled: true }
const logGrant: RawGrant = { text: "log", risk: log.risk, heads: ["log"], isDeniedWhenCalled: true }

/** Extism's numbers of the levels; what is below the number that `get_log_level` answers is not wanted. */
const levels = { trace: 0, off: 0x7fff_ffff } as const

const logging = (level: LogLevel): RawImport => {
  const name = `log_${level}`
  return serve(
    name,
    ["i64"],
    [],
    (call, cx, [message]) => {
      const grant = call.grants.match("log", "")
      if (grant === undefined) call.denied("log")
      else writeLog(call, grant, level, "", readText(cx, message, name))
      return undefined
    },
    logGrant,
  )
}

/** Bytes of a name, which is text that came from UTF-8. */
const utf8Length = (text: string): number => {
  let bytes = text.length
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    // Halves of a pair stand for two bytes each.
    if (unit >= 0x80) bytes += unit >= 0x800 && (unit & 0xf800) !== 0xd800 ? 2 : 1
  }
  return bytes
}

const isNull = (handle: CoreValue | undefined): boolean => handle === 0n

const served: ReadonlyArray<RawImport> = [
  serve(
    "config_get",
    ["i64"],
    ["i64"],
    (call, cx, [key]) => {
      const name = readName(cx, key, "config_get")
      const grant = call.grants.match("config", name)
      if (grant === undefined) {
        call.denied(`config:${name}`)
        return 0n
      }
      const value = settled(call.ports.config.get(tenantKey(call.tenant, name)), `${envModule}#config_get`)
      call.used(grant, name.length + (value?.length ?? 0))
      return value === undefined ? 0n : writeText(call, cx, value)
    },
    configGrant,
  ),
  serve("var_get", ["i64"], ["i64"], (call, cx, [key]) => {
    const value = stateOf(cx).get(readName(cx, key, "var_get"))
    return value === undefined ? 0n : writeBlock(call, cx, value)
  }),
  serve("var_set", ["i64", "i64"], [], (call, cx, [key, value]) => {
    const name = readName(cx, key, "var_set")
    const state = stateOf(cx)
    if (isNull(value)) state.delete(name, utf8Length(name))
    else state.set(name, utf8Length(name), readBlock(cx, value, "var_set"), call.limits.varBytesMax)
    return undefined
  }),
  serve(
    "http_request",
    ["i64", "i64"],
    ["i64"],
    (call, cx, [asked, body], outside) => {
      const state = stateOf(cx)
      state.response = undefined
      const text = readText(cx, asked, "http_request")
      const sent = isNull(body) ? undefined : readBlock(cx, body, "http_request")
      const response =
        outside === undefined ? request(call, text, sent) : (outside as unknown as (text: string, body: Uint8Array | undefined) => WholeResponse)(text, sent)
      // Not its body: the instance may live long.
      state.response = { status: response.status, headers: response.headers }
      return writeBlock(call, cx, response.body)
    },
    httpGrant,
    requestOutside,
  ),
  serve("http_status_code", [], ["i32"], (_call, cx) => stateOf(cx).response?.status ?? 0),
  serve("http_headers", [], ["i64"], (call, cx) => {
    const { response } = stateOf(cx)
    return response === undefined ? 0n : writeText(call, cx, headersJson(response.headers))
  }),
  ...(["trace", "debug", "info", "warn", "error"] as const).map(logging),
  serve("get_log_level", [], ["i32"], (call) => (call.grants.allows("log") ? levels.trace : levels.off)),
]

export const envFunctions: ReadonlyMap<string, RawImport> = new Map(served.map((one) => [one.name, one]))
