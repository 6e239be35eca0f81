/** The embedding cases against the checkout: `embedding-program.ts FOLDER [ISOLATION]`, FOLDER holding the guests. */
import { argv } from "node:process"
import * as stele from "../../runtime/mod.ts"
import type { Scene } from "./embedding.ts"
import { outcomes } from "./embedding-run.ts"

console.log(JSON.stringify(await outcomes(stele, argv[2] as string, argv[3] as Scene["isolation"] | undefined)))
