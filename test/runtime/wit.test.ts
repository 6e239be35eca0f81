/** WIT in files and folders, and the command that reads it. */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import t from "tap"
import { WitSourceError } from "../../schemas/error/wit-source.ts"
import { parseWit, selectWorld } from "../../schemas/wit/parse/mod.ts"
import { readWit } from "../../runtime/wit/read.ts"
import { stele } from "./command-line.ts"

/** A folder with these files, gone after the test. */
function folder(t: { teardown(work: () => void): void }, files: Readonly<Record<string, string | Uint8Array>>): string {
  const root = mkdtempSync(join(tmpdir(), "stele-wit-"))
  t.teardown(() => rmSync(root, { recursive: true, force: true }))
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, name)), { recursive: true })
    writeFileSync(join(root, name), text)
  }
  return root
}

const shop = "package acme:shop@0.1.0;\n\nworld plugin {\n  import acme:money/types@1.0.0;\n  export price: func(of: string) -> u32;\n}\n"
const money = "package acme:money@1.2.0;\n\ninterface types {\n  type amount = u64;\n}\n"

t.test("readWit() reads a file, and a folder with its dependencies as files and folders", async (t) => {
  const root = folder(t, {
    "shop.wit": shop,
    "deps/money.wit": money,
    "deps/other/a.wit": "package acme:other;\n",
    "deps/other/b.wit": "interface i {}\n",
    "deps/note.txt": "no WIT",
    "one.txt": "no WIT",
  })
  const resolve = parseWit(await readWit(root))
  t.strictSame([...resolve.packages.keys()].sort(), ["acme:money@1.2.0", "acme:other", "acme:shop@0.1.0"])
  t.strictSame([...selectWorld(resolve).world.imports.keys()], ["acme:money/types@1.2.0"], "the newest compatible version")
  const [main] = (await readWit(join(root, "shop.wit"))).main
  t.equal(main?.text, shop)
})

t.test("readWit() says what it cannot read", async (t) => {
  const root = folder(t, {
    "empty/a.txt": "",
    "bytes/a.wit": Uint8Array.of(0x70, 0x0a, 0x61, 0xff, 0x62),
    "large/a.wit": new Uint8Array((16 << 20) + 1).fill(0x20),
  })
  const reason = async (name: string): Promise<WitSourceError["reason"] | undefined> => {
    try {
      await readWit(join(root, name))
    } catch (error) {
      if (error instanceof WitSourceError) return error.reason
      throw error
    }
    return undefined
  }
  t.match(await reason("nowhere"), { _tag: "Unreadable", detail: "there is no such file or folder" })
  t.match(await reason("empty"), { _tag: "Unreadable", detail: "no file in this folder ends in .wit" })
  t.match(await reason("bytes"), { _tag: "Character", line: 2, column: 2 })
  symlinkSync("/dev/zero", join(root, "empty", "a.wit"))
  t.match(await reason("empty"), { _tag: "Unreadable", detail: "it is no file" }, "a device ends nowhere")
  t.match(await reason("large"), { _tag: "TooLarge", limit: "witBytesMax" })
})

t.test("`stele wit` prints canonical text, a summary, or all that is wrong", async (t) => {
  const root = folder(t, { "good/shop.wit": shop, "good/deps/money.wit": money, "bad/shop.wit": shop.replace("of: string", "of: strin") })
  const good = stele(["wit", join(root, "good")])
  t.equal(good.code, 0, good.stderr)
  t.match(good.stdout, "world plugin {\n  import acme:money/types@1.2.0;\n  export price: func(of: string) -> u32;\n}")
  const json = JSON.parse(stele(["wit", join(root, "good"), "--json"]).stdout) as { readonly main: string; readonly packages: ReadonlyArray<unknown> }
  t.match(json, {
    main: "acme:shop@0.1.0",
    packages: [{ name: "acme:money@1.2.0" }, { name: "acme:shop@0.1.0", worlds: [{ name: "plugin", exports: ["price"] }] }],
  })
  t.match(stele(["types", join(root, "good")]).stdout, /^\/\/ Do not edit: written by `stele types good`\n/, "types of a folder name the folder")
  const bad = stele(["wit", join(root, "bad")])
  t.equal(bad.code, 3)
  t.match(bad.stderr, /error\[STELE-WIT-0009\].*line 4, column 10: there is no package "acme:money@1\.0\.0"/)
  t.match(bad.stderr, /line 5, column 26: there is no type "strin" here\n\s+export price: func\(of: strin\) -> u32;\n\s+\^/)
  t.match(bad.stderr, "did you mean string?")
  t.match(bad.stderr, /error\[STELE-WIT-0018\].*2 problems/)
  const listed = JSON.parse(stele(["wit", join(root, "bad"), "--json"]).stdout) as {
    readonly error: { readonly data: { readonly problems: ReadonlyArray<unknown> } }
  }
  t.match(listed.error.data.problems, [
    { code: "STELE-WIT-0009", data: { line: 4 } },
    { code: "STELE-WIT-0009", data: { line: 5 } },
  ])
  t.equal(stele(["wit", join(root, "good"), "--world", "plugins"]).code, 4)
})
