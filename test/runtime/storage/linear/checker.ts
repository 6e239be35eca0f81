/**
 * Is a history of calls on registers with compare-and-set linearizable: is there one order of all calls, each at a moment
 * between its start and its answer, in which the answers are those of a register used by one at a time?
 *
 *  * Herlihy, Wing: Linearizability: a correctness condition for concurrent objects. TOPLAS 12(3), 1990. Its locality
 *    (theorem 1) lets each key be judged alone, which Horn, Kroening: Faster linearizability checking via
 *    P-compositionality, FORTE 2015, made the way to check large histories.
 *  * Wing, Gong: Testing and verifying concurrent objects. JPDC 17(1-2), 1993: the search, depth first: of the calls that
 *    began before any that is still open had its answer, take one whose answer fits, and undo it when nothing fits after it.
 *  * Lowe: Testing for linearizability. Concurrency and Computation 29(4), 2017: what has been taken (a set) together with the
 *    register's state is remembered, and never tried twice.
 *
 * A call without an answer may have taken effect at any moment after its start, once, or never: it has a start and no
 * end, and the search is over when all calls that have an end are taken.
 *
 * Every value is written by one call only: so a value says which write is meant, and a version which value.
 */

export type Action =
  | { readonly op: "get" }
  | { readonly op: "set"; readonly value: string }
  /** Writes if the key has this version; undefined: if it does not exist. */
  | { readonly op: "swap"; readonly version: number | undefined; readonly value: string }
  | { readonly op: "delete" }

/** What a call answered. */
export type Answer =
  /** What was there; no `value` when nothing was. */
  | { readonly op: "get"; readonly value?: string; readonly version?: number }
  /** The version written; a swap that was refused has none. */
  | { readonly op: "set" | "swap"; readonly version?: number }
  | { readonly op: "delete"; readonly existed: boolean }

export interface Call {
  readonly client: string
  readonly key: string
  readonly action: Action
  /** On one clock for all clients, ns. */
  readonly startNs: number
  /** Absent: nobody knows whether it took effect, or ever will. */
  readonly end?: { readonly atNs: number; readonly answer: Answer }
}

export type Verdict = { readonly isLinearizable: true } | { readonly isLinearizable: false; readonly key: string; readonly why: string }

/** A register: the index of its value among the values written, and the newest version known to have been given. */
interface State {
  readonly value: number
  readonly version: number
}
const absent = -1
/** A version that no call has shown: the register never has it. */
const nowhere = -2

/** Checks each key's calls by themselves. */
export function check(calls: ReadonlyArray<Call>): Verdict {
  for (const [key, own] of Map.groupBy(calls, (call) => call.key)) {
    const why = problemOf(own.toSorted((a, b) => a.startNs - b.startNs))
    if (why !== undefined) return { isLinearizable: false, key, why }
  }
  return { isLinearizable: true }
}

/** Values and versions as the calls show them; a text when they contradict each other. */
function namesOf(
  calls: ReadonlyArray<Call>,
): { readonly ofValue: ReadonlyMap<string, number>; readonly ofVersion: ReadonlyMap<number, number>; readonly versions: ReadonlyMap<number, number> } | string {
  const ofValue = new Map<string, number>()
  const ofVersion = new Map<number, number>()
  const versions = new Map<number, number>()
  for (const { action } of calls) {
    if (!("value" in action)) continue
    if (ofValue.has(action.value)) throw new Error(`Cannot check the history: "${action.value}" is written twice`)
    ofValue.set(action.value, ofValue.size)
  }
  for (const { action, end } of calls) {
    if (end === undefined || !("version" in end.answer) || end.answer.version === undefined) continue
    const written = "value" in end.answer ? end.answer.value : "value" in action ? action.value : undefined
    const value = ofValue.get(written as string)
    const { version } = end.answer
    if (value === undefined) return `"${written}" was read, and nobody wrote it`
    if ((versions.get(value) ?? version) !== version) return `"${written}" has the versions ${versions.get(value)} and ${version}`
    if ((ofVersion.get(version) ?? value) !== value) return `version ${version} is that of two values`
    versions.set(value, version)
    ofVersion.set(version, value)
  }
  return { ofValue, ofVersion, versions }
}

/** Why the calls of one key, by their starts, are not linearizable; undefined when they are. */
function problemOf(calls: ReadonlyArray<Call>): string | undefined {
  const names = namesOf(calls)
  if (typeof names === "string") return names
  const { ofValue, ofVersion, versions } = names

  /** The register after a call, if the call can come next with the answer that it had. */
  function next({ value, version }: State, { action, end }: Call): State | undefined {
    const write = (text: string): State | undefined => {
      const written = ofValue.get(text) as number
      const given = versions.get(written)
      // A version is greater after each write.
      if (given !== undefined && given <= version) return undefined
      return { value: written, version: given ?? version }
    }
    switch (action.op) {
      case "get": {
        // A question that had no answer says nothing.
        const answer = end?.answer as { readonly value?: string } | undefined
        if (answer === undefined) return undefined
        return value === (answer.value === undefined ? absent : ofValue.get(answer.value)) ? { value, version } : undefined
      }
      case "set":
        return write(action.value)
      case "swap": {
        const isMet = value === (action.version === undefined ? absent : (ofVersion.get(action.version) ?? nowhere))
        const isDone = end === undefined ? isMet : "version" in end.answer && end.answer.version !== undefined
        if (isMet !== isDone) return undefined
        if (isDone) return write(action.value)
        return end === undefined ? undefined : { value, version }
      }
      case "delete": {
        const isThere = value !== absent
        const existed = end === undefined ? true : "existed" in end.answer && end.answer.existed
        if (isThere !== existed) return undefined
        return { value: absent, version }
      }
    }
  }

  // Starts and ends in one list by time, linked both ways so that a call can be taken out and put back at once; at the same
  // moment starts come first, since nothing says that they did not. Entry i + 1 of `entries[i]`; 0 is the list's head.
  const entries = calls
    .flatMap(({ startNs, end }, call) => [{ call, isEnd: false, atNs: startNs }, ...(end === undefined ? [] : [{ call, isEnd: true, atNs: end.atNs }])])
    .toSorted((a, b) => a.atNs - b.atNs || Number(a.isEnd) - Number(b.isEnd))
  const after = Int32Array.from({ length: entries.length + 1 }, (_, i) => (i < entries.length ? i + 1 : 0))
  const before = Int32Array.from({ length: entries.length + 1 }, (_, i) => (i === 0 ? entries.length : i - 1))
  const startOf = new Int32Array(calls.length)
  const endOf = new Int32Array(calls.length)
  for (const [i, { call, isEnd }] of entries.entries()) (isEnd ? endOf : startOf)[call] = i + 1
  const remove = (entry: number): void => {
    after[before[entry] as number] = after[entry] as number
    before[after[entry] as number] = before[entry] as number
  }
  const restore = (entry: number): void => {
    after[before[entry] as number] = entry
    before[after[entry] as number] = entry
  }

  const taken = new Uint32Array(Math.ceil(calls.length / 32))
  const known = new Set<string>()
  const stack: Array<{ readonly call: number; readonly state: State }> = []
  let state: State = { value: absent, version: -1 }
  let open = calls.filter(({ end }) => end !== undefined).length
  let best = { taken: -1, call: 0, state }
  let entry = after[0] as number
  while (open > 0) {
    const found = entries[entry - 1] as (typeof entries)[number]
    const call = calls[found.call] as Call
    if (found.isEnd) {
      // Its answer came, and it could not be taken before: something taken earlier was wrong.
      if (stack.length > best.taken) best = { taken: stack.length, call: found.call, state }
      const last = stack.pop()
      if (last === undefined) return storyOf(calls, best.call, best.state, ofValue)
      state = last.state
      taken[last.call >>> 5] = (taken[last.call >>> 5] as number) & ~(1 << (last.call & 31))
      if (endOf[last.call] !== 0) {
        restore(endOf[last.call] as number)
        open++
      }
      restore(startOf[last.call] as number)
      entry = after[startOf[last.call] as number] as number
      continue
    }
    const reached = next(state, call)
    if (reached !== undefined) {
      const word = found.call >>> 5
      taken[word] = (taken[word] as number) | (1 << (found.call & 31))
      const key = `${reached.value} ${reached.version} ${keyOf(taken)}`
      if (!known.has(key)) {
        known.add(key)
        stack.push({ call: found.call, state })
        state = reached
        remove(startOf[found.call] as number)
        if (endOf[found.call] !== 0) {
          remove(endOf[found.call] as number)
          open--
        }
        entry = after[0] as number
        continue
      }
      taken[word] = (taken[word] as number) & ~(1 << (found.call & 31))
    }
    entry = after[entry] as number
  }
  return undefined
}

/** A set of calls as text: the words that are neither all taken nor all open. */
function keyOf(taken: Uint32Array): string {
  let from = 0
  while (taken[from] === 0xffff_ffff) from++
  let to = taken.length
  while (to > from && taken[to - 1] === 0) to--
  return `${from}:${taken.subarray(from, to).join()}`
}

const textOf = ({ client, action, startNs, end }: Call): string =>
  `${startNs}-${end?.atNs ?? "?"} ${client} ${JSON.stringify(action)} -> ${JSON.stringify(end?.answer) ?? "unknown"}`

/** The call that fits nowhere, in the longest order that was found before it, and those at the same time. */
function storyOf(calls: ReadonlyArray<Call>, call: number, state: State, ofValue: ReadonlyMap<string, number>): string {
  const stuck = calls[call] as Call
  const value = [...ofValue].find(([, index]) => index === state.value)?.[0]
  const near = calls.filter(({ startNs, end }) => startNs <= (stuck.end?.atNs ?? Infinity) && (end?.atNs ?? Infinity) >= stuck.startNs)
  return [`where the register has ${JSON.stringify(value) ?? "nothing"}, this fits nowhere:`, textOf(stuck), "at the same time:", ...near.map(textOf)].join(
    "\n",
  )
}
