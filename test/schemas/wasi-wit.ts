/** All packages of the pinned WASI 0.2 release, as jco ships them, around a world `test:all/all` that has both of its worlds. */
import { readFile } from "node:fs/promises"

const names = ["io", "clocks", "random", "filesystem", "sockets", "cli", "http"]

export async function wasiWit(version = "0.2.12"): Promise<string> {
  const folder = import.meta.resolve("@bytecodealliance/jco/component").replace(/dist\/[^/]*$/, `lib/wit/builtin/${version}/`)
  const packages = await Promise.all(names.map((name) => readFile(new URL(`${folder}wasi-${name}/package.wit`), "utf8")))
  const nested = packages.map((text) => `${text.replace(/^package\s+([^;{]+);/m, "package $1 {")}\n}`)
  const includes = ["wasi:cli/command", "wasi:http/proxy"].map((name) => `include ${name}@${version};`)
  return `package test:all;\nworld all { ${includes.join(" ")} }\n${nested.join("\n")}`
}
