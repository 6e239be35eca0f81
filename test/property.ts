/**
 * fast-check with the run's seed (`seed.ts`): every test has its properties from here, and what fails says seed, path
 * and counterexample. A check holds that nothing else below `test` imports the package.
 */
import fc from "fast-check"
import { seed } from "./seed.ts"

fc.configureGlobal({ seed })

export default fc
