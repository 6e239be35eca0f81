/**
 * What the command line is told to put in the place of first-party plugins: `--plugin NAME=FILE`, else `STELE_PLUGIN_NAME`, else `plugins` in
 * the `stele.json` of the current folder. An application passes its own to `Host.open` and is not changed by where it is started.
 */
import { access } from "node:fs/promises"
import { join, resolve } from "node:path"
import * as Schema from "effect/Schema"
import { ConfigError } from "../../schemas/error/config.ts"
import { namePattern } from "../../schemas/manifest/plugin.ts"
import { quote } from "../../schemas/value/form.ts"
import { decodeLocated, readLocated } from "../author/located.ts"
import type { Replacement } from "./replaced.ts"

const fileName = "stele.json"
const prefix = "STELE_PLUGIN_"

/** `stele.json`: settings of the folder that the command line is started in. */
const Settings = Schema.Struct({
  $schema: Schema.optionalKey(Schema.String),
  plugins: Schema.optionalKey(Schema.Record(Schema.String, Schema.String)),
})

/** As a path from the folder it was written for, or the URL or digest that it is. */
const placed = (folder: string, file: string): string => (/^(https?:|file:|sha256:)/.test(file) ? file : resolve(folder, file))

async function ofFile(folder: string): Promise<ReadonlyArray<readonly [string, Replacement]>> {
  const path = join(folder, fileName)
  const isThere = await access(path).then(
    () => true,
    () => false,
  )
  if (!isThere) return []
  const { plugins = {} } = decodeLocated(Settings, await readLocated(path, fileName, "the settings"))
  return Object.entries(plugins).map(([name, file]) => [name, { source: placed(folder, file), setBy: fileName }])
}

function ofEnvironment(folder: string, env: Readonly<Record<string, string | undefined>>): ReadonlyArray<readonly [string, Replacement]> {
  return Object.entries(env).flatMap(([variable, file = ""]) =>
    // An empty one is as good as none, which is how a shell takes one away for one command.
    variable.startsWith(prefix) && file !== ""
      ? [[variable.slice(prefix.length).toLowerCase().replaceAll("_", "-"), { source: placed(folder, file), setBy: variable }] as const]
      : [],
  )
}

function ofFlag(folder: string, text: string): readonly [string, Replacement] {
  const at = text.indexOf("=")
  const name = text.slice(0, Math.max(at, 0))
  if (!namePattern.test(name) || at + 1 === text.length)
    throw new ConfigError("Option", { option: "--plugin", expected: "NAME=FILE, such as billing=./mine.wasm", actual: quote(text, 200) })
  return [name, { source: placed(folder, text.slice(at + 1)), setBy: `--plugin ${name}` }]
}

/** For `Host.open({ plugins })`. Whether plugins of these names exist is the host's to say. @throws ConfigError for a flag; AuthorError `File` with the places in `stele.json` */
export async function configuredPlugins(
  flags: ReadonlyArray<string>,
  { env = process.env, folder = process.cwd() }: { readonly env?: Readonly<Record<string, string | undefined>>; readonly folder?: string } = {},
): Promise<Readonly<Record<string, Replacement>>> {
  return Object.fromEntries([...(await ofFile(folder)), ...ofEnvironment(folder, env), ...flags.map((text) => ofFlag(folder, text))])
}
