/** `--link`: another plugin serves an import, under grants of both, and every mistake of the flags says what to write. */
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import t from "tap"
import { componentOf } from "../host/component-builder.ts"
import { example, jsonError, stele } from "./command-line.ts"

t.setTimeout(200_000)

const folder = await mkdtemp(join(tmpdir(), "stele-link-"))
t.teardown(() => rm(folder, { recursive: true }))
const prices = join(folder, "prices.wasm")
const shop = join(folder, "shop.wasm")
/** One more than it is told, once it has looked at the clock; 1 is answered by a trap. */
await writeFile(
  prices,
  await componentOf(
    `package test:link;
     interface api { number: func(n: u32) -> u32; }
     world prices { import wasi:clocks/monotonic-clock@0.2.0; export api; }
     package wasi:clocks@0.2.0 { interface monotonic-clock { now: func() -> u64; } }`,
    `(module (import "wasi:clocks/monotonic-clock@0.2.0" "now" (func $now (result i64)))
      (func (export "test:link/api#number") (param $n i32) (result i32)
        (drop (call $now)) (if (i32.eq (local.get $n) (i32.const 1)) (then unreachable)) (i32.add (local.get $n) (i32.const 1))))`,
  ),
)
await writeFile(
  shop,
  await componentOf(
    "package test:link; interface api { number: func(n: u32) -> u32; } world shop { import api; export total: func(n: u32) -> u32; }",
    `(module (import "test:link/api" "number" (func $number (param i32) (result i32)))
      (func (export "total") (param $n i32) (result i32) (call $number (call $number (local.get $n)))))`,
  ),
)

const links = ["--link", `test:link/api=${prices}`, "--link-grant", "test:link/api=clock:monotonic"]
const call = (...flags: ReadonlyArray<string>) => stele(["call", shop, "total", "5", ...flags])

t.test("a call goes through the plugin that is linked", async (t) => {
  const { code, stdout, stderr } = call(...links, "--grant", "call:test:link/api#number", "--usage")
  t.equal(code, 0, stderr)
  t.equal(stdout, "7\n")
  t.match(stderr, /call:test:link\/api#number 2×/, "the caller's record counts what it asked for")
})

t.test("each of the two needs its own grants, and is told how they are given", async (t) => {
  t.match(jsonError(call(...links, "--json")), { code: "STELE-CAP-0003", data: { needed: ["call:test:link/api#number"] } })
  t.match(call(...links), { code: 5, stderr: /shop\.wasm.*fix: +--grant call:test:link\/api#number/s })
  t.match(call(...links.slice(0, 2), "--grant", "call:test:link/api#*"), {
    code: 5,
    stderr: /prices\.wasm.*fix: +--link-grant test:link\/api=clock:monotonic/s,
  })
})

t.test("what goes wrong in the linked plugin ends the call, typed", async (t) => {
  t.match(jsonError(stele(["call", shop, "total", "1", ...links, "--grant", "call:test:link/api#*", "--json"])), { code: "STELE-COM-0005" })
})

t.test("mistakes of the flags", async (t) => {
  t.match(call("--link", "prices.wasm"), { code: 2, stderr: /INTERFACE=FILE such as/ })
  t.match(call(...links, "--link", `test:link/api=${shop}`), { code: 2, stderr: /to two plugins/ })
  t.match(call(...links, "--link-grant", "test:link/apo=log"), { code: 2, stderr: /did you mean "test:link\/api"/ })
  t.match(call("--link", "test:link/api=gone.wasm"), { code: 4, stderr: /gone\.wasm/ })
  t.match(call(...links, "--link", `test:link/other=${prices}`), { code: 2, stderr: /links\["test:link\/other"\].*test:link\/api/s }, "an import that is none")
  t.match(
    stele([
      "serve",
      example("greeter"),
      "--grant",
      "log",
      "--grant",
      "kv:read:*",
      "--link",
      `test:link/api=${prices}`,
      "--link-grant",
      "test:link/api=clock:monotonic",
    ]),
    { code: 2, stderr: /links\["test:link\/api"\]/ },
    "a server's plugin is linked, too",
  )
})

t.test("a plugin of `stele up` is there again with what it is linked to", async (t) => {
  const up = (...lines: ReadonlyArray<string>) =>
    stele(["up", "--storage", `sqlite:${join(folder, "up.db")}`, "--json"], { input: `${lines.join("\n")}\n`, timeoutMs: 120_000 }).stdout
  const load = `load ${shop} --grant call:test:link/api#*`
  const first = up(`${load} ${links.slice(0, 2).join(" ")}`, `${load} ${links.join(" ")}`, "call shop total 5")
  t.match(first, /"code":"STELE-CAP-0003"/, "what is linked needs its own grants")
  t.match(first, /"loaded":"shop".*\n.*"result":7/)
  await rm(prices)
  t.match(
    up("call shop total 6", "reload shop", "call shop total 7", "unload shop"),
    /"result":8.*\n.*"loaded":"shop".*\n.*"result":9.*\n.*"unloaded":"shop"/,
    "kept by its bytes",
  )
  t.match(up("call shop total 6"), /No plugin \\"shop\\" is loaded/)
})
