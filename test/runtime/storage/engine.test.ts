/** Errors while rows are read one by one are errors on every engine, and not the end of the rows. */
import t from "tap"
import { answer, engines } from "../../host/engine.ts"

t.setTimeout(120_000)
for (const engine of engines)
  t.test(`rows that are read one by one end with an error where there is one, on ${engine}`, async (t) => {
    t.same(await answer(engine, "../runtime/storage/engine-program.ts"), ["1555", "1555", "RangeError"])
  })
