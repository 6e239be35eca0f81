/**
 * `fs`: directories of the host, under the names that `LoadOptions.wasi.directories` gives them. The interfaces link
 * without a grant, since ordinary toolchains' components import them whether they use files or not, and then show no
 * directory. What they do is in `host/capability/wasi-filesystem.ts`, loaded with the first plugin that imports them.
 */
import type { Capability } from "./capability.ts"
import { type Grant, isWithin, refuse, special } from "./scope.ts"

/**
 * A directory as grants name it: absolute, `/` between the parts and at the end, a drive letter upper-case; undefined
 * for anything else.
 */
export function directoryName(path: string): string | undefined {
  const plain = /^[A-Za-z]:[\\/]/.test(path) ? path.charAt(0).toUpperCase() + path.slice(1).replaceAll("\\", "/") : path
  const parts = plain.split("/").filter((part) => part !== "")
  const isAbsolute = plain.startsWith("/") || /^[A-Z]:\//.test(plain)
  if (!isAbsolute || parts.some((part) => part === "." || part === ".." || part.includes("\0"))) return undefined
  const start = plain.startsWith("/") ? "/" : ""
  return parts.length === 0 ? "/" : `${start}${parts.join("/")}/`
}

function parse(text: string, parts: ReadonlyArray<string>): Grant {
  const [action = "", ...rest] = parts
  if (action !== "read" && action !== "write") refuse(text, `its action is "${action}"; "fs" has read and write`)
  const path = rest.join(":")
  if (path === "") refuse(text, `it names nothing; write fs:${action}:/DIRECTORY`)
  if (path.includes("*")) refuse(text, "a directory covers everything in it, without *")
  const name = directoryName(path)
  if (name === undefined) return refuse(text, "a directory is an absolute path without . and ..")
  const head = `fs:${action}`
  return special(`${head}:${name.length > 1 ? name.slice(0, -1) : name}`, head, { text: name, isPrefix: true })
}

export const fileSystem: Capability = {
  name: "fs",
  risk: "The plugin reads or changes everything in this directory of the host, links in it followed only to what is in it.",
  mode: "sync",
  forms: ["fs:read:DIR", "fs:write:DIR"],
  isInert: false,
  isInertUngranted: true,
  parse,
  subset: isWithin,
  interfaces: [],
  later: {
    names: ["wasi:filesystem/types", "wasi:filesystem/preopens"],
    load: () => import("./wasi-filesystem.ts").then(({ interfaces }) => interfaces),
  },
  needs: () => "fs:read:/",
  heads: () => ["fs:read", "fs:write"],
  ports: [],
}
