/** Writes `kernels.txt` anew and says which lines changed: `node test/runtimes/write-kernels.ts`, where kernels were meant to change. */
import { readFile, writeFile } from "node:fs/promises"
import * as kernels from "../../kernels/mod.ts"
import { kernelBits } from "./kernels.ts"

const path = new URL("./kernels.txt", import.meta.url)
const before = (await readFile(path, "utf8")).split("\n").filter((line) => line !== "" && !line.startsWith("#"))
const now = await kernelBits(kernels)
await writeFile(path, `${now.join("\n")}\n`)
const changed = now.filter((line) => !before.includes(line)).map((line) => line.split(" ")[0])
console.log(changed.length === 0 ? "Nothing changed" : `Changed: ${changed.join(", ")}`)
