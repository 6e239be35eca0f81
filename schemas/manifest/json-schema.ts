/** The JSON Schemas of the files that authors write, derived from what reads them. */
import * as Schema from "effect/Schema"
import { Manifest } from "./plugin.ts"
import { TestFile } from "./test.ts"

function document(schema: Schema.Top, title: string): string {
  const { schema: root, definitions } = Schema.toJsonSchemaDocument(schema as unknown as Schema.Codec<unknown, unknown>, { onExcessProperty: "error" })
  return `${JSON.stringify({ $schema: "https://json-schema.org/draft/2020-12/schema", title, ...root, $defs: definitions }, undefined, 2)}\n`
}

/** The text of `plugin.schema.json`. */
export const manifestSchemaText = (): string => document(Manifest, "plugin.json of a Stele plugin")
/** The text of `test.schema.json`. */
export const testSchemaText = (): string => document(TestFile, "Tests of a Stele plugin")
