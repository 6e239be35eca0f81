/**
 * A fixed set of price lists and usage comes to what `test/runtimes/bills.txt` says, here on this Node; `npm run test:runtimes` compares the same on Deno,
 * Bun, Node 24 and in a browser. A difference means that invoices change: is it meant, say so in the CHANGELOG, and write the file anew by
 * `node test/plugins/billing-bills.test.ts --write`.
 */
import { readFile, writeFile } from "node:fs/promises"
import t from "tap"
import * as stele from "../../host/mod.ts"
import { bills } from "../runtimes/bills.ts"

const file = new URL("../runtimes/bills.txt", import.meta.url)
const wasm = new Uint8Array(await readFile(new URL("../../dist/plugins/billing.wasm", import.meta.url)))
const found = `${(await bills(stele, wasm)).join("\n")}\n`
if (process.argv.includes("--write")) await writeFile(file, found)
t.same(found.split("\n"), (await readFile(file, "utf8")).split("\n"))
