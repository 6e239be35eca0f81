/**
 * Builds one component and has jco transpile it, in a thread that lives for that one answer: a malformed input leaves
 * jco's tools unusable for the rest of their thread.
 */
import { parentPort, workerData } from "node:worker_threads"
import { transpileBytes } from "@bytecodealliance/jco-transpile"
import { componentEmbed, componentNew, parse } from "@bytecodealliance/jco-transpile/wasm-tools"
import type { Built, Recipe } from "./build.ts"

const recipe = workerData as Recipe
const say = (answer: Built | { readonly problem: string }): void => parentPort?.postMessage(answer)

try {
  const component =
    recipe.component === undefined
      ? await componentNew(
          await componentEmbed({ binary: await parse(recipe.core), witSource: recipe.wit, world: recipe.world, stringEncoding: recipe.encoding }),
          [],
        )
      : await parse(recipe.component)
  const { files } =
    recipe.transpile === false
      ? { files: {} }
      : await transpileBytes(component, { name: "guest", instantiation: "sync", nodejsCompat: false, emitTypescriptDeclarations: false, minify: false })
  say({ component, files: files as Record<string, Uint8Array> })
} catch (error) {
  say({ problem: String((error as { payload?: unknown }).payload ?? (error as Error).stack ?? error) })
}
