/**
 * `wasi:blobstore`: objects in containers. The name that grants speak of is `CONTAINER/OBJECT`; a container exists when
 * it was created or holds an object. Every operation asks the grants again, also on handles and streams already open;
 * a denial is the interface's error text and names the grant.
 *
 * WIT: `schemas/wit/wasi/blobstore.wit`, which names its source and commits. Its `created-at` has no unit; seconds since the Unix epoch are served.
 *
 * The bytes of values and streams that are open count against `heldBytesMax` of the instance (`host/capability/io.ts`).
 */
import { borrow, func, list, own, primitive, record, resource, result, tuple } from "../../schemas/wit/model.ts"
import { type Awaitable, tenantKey } from "../port/mod.ts"
import { isPortLimit } from "../port/port.ts"
import type { CallContext, Capability } from "./capability.ts"
import { bytesInput, chunkBytesMax, failed, hold, holdable, type InputStream, inputResource, type OutputStream, outputResource } from "./io.ts"
import { actionForm, isWithin } from "./scope.ts"
import { after, clip, done, err, flow, hostInterface, ok, plainResource, type Result, serve, type Steps, wait } from "./serve.ts"

/** Names one `read-stream-object-names` answers with at most, and names asked of the port at once. */
export const namesMax = 1_000
/** Places one outgoing value can be written to. */
const targetsMax = 16

type Outcome<A> = Result<A, string>
type Action = "read" | "write"

/** Rep of `container`. */
class Container {
  readonly name: string
  constructor(name: string) {
    this.name = name
  }
}

/** Rep of `outgoing-value`: chunks until `finish` stores them. */
class OutgoingValue {
  chunks: Array<Uint8Array> = []
  bytes = 0
  hasBody = false
  isBodyOpen = false
  readonly targets: Array<string> = []

  release(call: CallContext): void {
    hold(call, -this.bytes)
    this.chunks = []
    this.bytes = 0
  }
}

/** Rep of `incoming-value`: a copy of the object's bytes, as the interface promises. */
class IncomingValue {
  bytes: Uint8Array
  /** Grant name of the object. */
  readonly name: string
  constructor(bytes: Uint8Array, name: string) {
    this.bytes = bytes
    this.name = name
  }

  release(call: CallContext): Uint8Array {
    const bytes = this.bytes
    hold(call, -bytes.length)
    this.bytes = new Uint8Array(0)
    return bytes
  }
}

/** Rep of `stream-object-names`: a place in a container's listing. */
class ObjectNames {
  readonly container: string
  after: string | undefined
  constructor(container: string) {
    this.container = container
  }
}

const key = (call: CallContext, name: string): string => tenantKey(call.tenant, name)

/** Counts the denial; its message names the grant to add. */
const denied = (call: CallContext, action: Action, name: string) => err(call.denied(`blob:${action}:${name}`).message)

/** Runs `act` under the grant for `name`; a denial or a port's refusal is the interface's error. */
function* under<A>(call: CallContext, action: Action, name: string, act: (grant: string) => Steps<Outcome<A>>): Steps<Outcome<A>> {
  const grant = call.grants.match(`blob:${action}`, name)
  if (grant === undefined) return denied(call, action, name)
  try {
    return yield* act(grant)
  } catch (error) {
    if (isPortLimit(error)) return err(error.message)
    throw error
  }
}

const isContainerName = (name: string): boolean => name !== "" && !name.includes("/")
const badContainer = (name: string) => err(`Cannot use "${name.slice(0, 200)}" as a container: its name is ${name === "" ? "empty" : "divided by a slash"}`)
const noContainer = (name: string) => err(`There is no container "${name.slice(0, 200)}"`)
const noObject = (name: string) => err(`There is no object "${name.slice(0, 400)}"`)
const emptyObject = err("Cannot use an empty name as an object")

/** The empty object name marks a created container; it dates it, too. */
function* containerExists(call: CallContext, name: string): Steps<boolean> {
  return (yield* wait(call.ports.blob.list(key(call, `${name}/`), undefined, 1))).length > 0
}

function* createContainer(call: CallContext, name: string): Steps<Outcome<Container>> {
  if (!isContainerName(name)) return badContainer(name)
  return yield* under(call, "write", `${name}/`, function* (grant) {
    call.used(grant, 0)
    if (yield* containerExists(call, name)) return err(`There is already a container "${name.slice(0, 200)}"`)
    yield* wait(call.ports.blob.put(key(call, `${name}/`), new Uint8Array(0)))
    return ok(new Container(name))
  })
}

/** Does any grant reach into the container? Else its existence is not told either. */
const reaches = (call: CallContext, name: string): boolean => call.grants.reaches("blob:read", `${name}/`) || call.grants.reaches("blob:write", `${name}/`)

function* getContainer(call: CallContext, name: string): Steps<Outcome<Container>> {
  if (!isContainerName(name)) return badContainer(name)
  if (!reaches(call, name)) return denied(call, "read", `${name}/*`)
  return (yield* containerExists(call, name)) ? ok(new Container(name)) : noContainer(name)
}

function* hasContainer(call: CallContext, name: string): Steps<Outcome<boolean>> {
  if (!isContainerName(name)) return ok(false)
  if (!reaches(call, name)) return denied(call, "read", `${name}/*`)
  return ok(yield* containerExists(call, name))
}

/** Calls `act` for each name in a container, which it starts with, page by page, the marker included; ends when that answers with something. */
function* objectsIn<A>(call: CallContext, container: string, act: (name: string) => Awaitable<A | undefined>): Steps<A | undefined> {
  const tenant = tenantKey(call.tenant, "")
  for (let after: string | undefined; call.remainingMs() > 0;) {
    const page: ReadonlyArray<string> = yield* wait(call.ports.blob.list(`${tenant}${container}/`, after, namesMax))
    for (const found of page) {
      const answer = yield* wait(act(found.slice(tenant.length)))
      if (answer !== undefined) return answer
    }
    if (page.length < namesMax) return undefined
    after = page.at(-1)
  }
  return undefined
}

/** Deletes everything in a container, or nothing when one object is outside the grants. */
function* empty(call: CallContext, container: string, keepsMarker: boolean): Steps<Outcome<undefined>> {
  const marker = `${container}/`
  if (!keepsMarker && !call.grants.allows("blob:write", marker)) return denied(call, "write", marker)
  const forbidden = yield* objectsIn(call, container, (name) =>
    name === marker || call.grants.allows("blob:write", name) ? undefined : denied(call, "write", name),
  )
  if (forbidden !== undefined) return forbidden
  yield* objectsIn(call, container, (name) => {
    if (name === marker && keepsMarker) return undefined
    call.used(call.grants.match("blob:write", name) as string, 0)
    return after(call.ports.blob.delete(key(call, name)), () => undefined)
  })
  return done
}

function* deleteContainer(call: CallContext, name: string): Steps<Outcome<undefined>> {
  if (!isContainerName(name)) return badContainer(name)
  if (!call.grants.reaches("blob:write", `${name}/`)) return denied(call, "write", `${name}/*`)
  return (yield* containerExists(call, name)) ? yield* empty(call, name, false) : noContainer(name)
}

interface ObjectId {
  readonly container: string
  readonly object: string
}

function* copyObject(call: CallContext, src: ObjectId, dest: ObjectId): Steps<Outcome<undefined>> {
  for (const id of [src, dest]) if (!isContainerName(id.container)) return badContainer(id.container)
  if (src.object === "" || dest.object === "") return emptyObject
  const from = `${src.container}/${src.object}`
  const to = `${dest.container}/${dest.object}`
  return yield* under(call, "read", from, (read) =>
    under(call, "write", to, function* (write) {
      if (!(yield* containerExists(call, dest.container))) return noContainer(dest.container)
      const value = yield* wait(call.ports.blob.get(key(call, from)))
      if (value === undefined) return noObject(from)
      call.used(read, value.length)
      call.used(write, value.length)
      yield* wait(call.ports.blob.put(key(call, to), value))
      return done
    }),
  )
}

function* moveObject(call: CallContext, src: ObjectId, dest: ObjectId): Steps<Outcome<undefined>> {
  const from = `${src.container}/${src.object}`
  if (!call.grants.allows("blob:write", from)) return denied(call, "write", from)
  const copied = yield* copyObject(call, src, dest)
  if (copied.tag === "ok" && (src.container !== dest.container || src.object !== dest.object)) yield* wait(call.ports.blob.delete(key(call, from)))
  return copied
}

const seconds = (createdAtMs: number): bigint => BigInt(Math.max(0, Math.floor(createdAtMs / 1000)))

function* containerInfo(call: CallContext, self: Container): Steps<Outcome<{ readonly name: string; readonly createdAt: bigint }>> {
  if (!reaches(call, self.name)) return denied(call, "read", `${self.name}/*`)
  if (!(yield* containerExists(call, self.name))) return noContainer(self.name)
  const info = yield* wait(call.ports.blob.info(key(call, `${self.name}/`)))
  return ok({ name: self.name, createdAt: seconds(info?.createdAtMs ?? 0) })
}

/** `start` and `end` are both inclusive; `end` beyond the object means its end. */
function* getData(call: CallContext, self: Container, object: string, start: bigint, end: bigint): Steps<Outcome<IncomingValue>> {
  if (object === "") return emptyObject
  const name = `${self.name}/${object}`
  return yield* under(call, "read", name, function* (grant) {
    const info = yield* wait(call.ports.blob.info(key(call, name)))
    if (info === undefined) return noObject(name)
    if (start > end) return err(`Cannot read from byte ${start} to byte ${end}`)
    const from = clip(start, info.bytes)
    const to = Math.min(clip(end, info.bytes) + 1, info.bytes)
    hold(call, to - from)
    const bytes = (yield* wait(call.ports.blob.get(key(call, name), from, to))) ?? new Uint8Array(0)
    hold(call, bytes.length - (to - from))
    call.used(grant, bytes.length)
    return ok(new IncomingValue(bytes, name))
  })
}

/** Names the value's place; the bytes are stored when it is finished. */
function* writeData(call: CallContext, self: Container, object: string, data: OutgoingValue): Steps<Outcome<undefined>> {
  if (object === "") return emptyObject
  const name = `${self.name}/${object}`
  if (!call.grants.allows("blob:write", name)) return denied(call, "write", name)
  if (!(yield* containerExists(call, self.name))) return noContainer(self.name)
  if (data.targets.length >= targetsMax) return err(`Cannot write one value to more than ${targetsMax} objects`)
  data.targets.push(name)
  return done
}

function* deleteObject(call: CallContext, self: Container, object: string): Steps<Outcome<undefined>> {
  if (object === "") return emptyObject
  return yield* under(call, "write", `${self.name}/${object}`, function* (grant) {
    call.used(grant, 0)
    yield* wait(call.ports.blob.delete(key(call, `${self.name}/${object}`)))
    return done
  })
}

function* deleteObjects(call: CallContext, self: Container, objects: ReadonlyArray<string>): Steps<Outcome<undefined>> {
  for (const object of objects) {
    const deleted = yield* deleteObject(call, self, object)
    if (deleted.tag === "err") return deleted
  }
  return done
}

function* objectInfo(call: CallContext, self: Container, object: string) {
  if (object === "") return emptyObject
  const name = `${self.name}/${object}`
  return yield* under(call, "read", name, function* (grant) {
    call.used(grant, 0)
    const info = yield* wait(call.ports.blob.info(key(call, name)))
    return info === undefined ? noObject(name) : ok({ name: object, container: self.name, createdAt: seconds(info.createdAtMs), size: BigInt(info.bytes) })
  })
}

function* hasObject(call: CallContext, self: Container, object: string): Steps<Outcome<boolean>> {
  if (object === "") return ok(false)
  return yield* under(call, "read", `${self.name}/${object}`, function* (grant) {
    call.used(grant, 0)
    return ok((yield* wait(call.ports.blob.info(key(call, `${self.name}/${object}`)))) !== undefined)
  })
}

function listObjects(call: CallContext, self: Container): Outcome<ObjectNames> {
  if (!call.grants.reaches("blob:read", `${self.name}/`)) return denied(call, "read", `${self.name}/*`)
  return ok(new ObjectNames(self.name))
}

/** Takes up to `countMax` names that the grants show; true at the end. */
function* takeNames(call: CallContext, self: ObjectNames, countMax: number): Steps<Outcome<readonly [ReadonlyArray<string>, boolean]>> {
  const prefix = `${self.container}/`
  if (!call.grants.reaches("blob:read", prefix)) return denied(call, "read", `${prefix}*`)
  const tenant = tenantKey(call.tenant, "")
  const names: Array<string> = []
  while (names.length < countMax && call.remainingMs() > 0) {
    const want = Math.min(namesMax, countMax - names.length)
    const page = yield* wait(call.ports.blob.list(tenant + prefix, self.after, want))
    for (const found of page) {
      const name = found.slice(tenant.length)
      const grant = name === prefix ? undefined : call.grants.match("blob:read", name)
      if (grant === undefined) continue
      call.used(grant, name.length)
      names.push(name.slice(prefix.length))
    }
    self.after = page.at(-1) ?? self.after
    if (page.length < want) return ok([names, true])
  }
  return ok([names, false])
}

function* skipNames(call: CallContext, self: ObjectNames, count: bigint): Steps<Outcome<readonly [bigint, boolean]>> {
  let skipped = 0n
  while (skipped < count) {
    const taken = yield* takeNames(call, self, clip(count - skipped, namesMax))
    if (taken.tag === "err") return taken
    skipped += BigInt(taken.val[0].length)
    if (taken.val[1]) return ok([skipped, true])
    if (taken.val[0].length === 0) break
  }
  return ok([skipped, false])
}

/** The stream that fills an outgoing value; its permit is what the instance may still hold. */
const bodyOf = (value: OutgoingValue): OutputStream => ({
  permit(call) {
    const room = Math.min(chunkBytesMax, holdable(call))
    return room > 0 ? ok(room) : err(failed("The host holds as many bytes for this plugin as it may"))
  },
  write(call, bytes) {
    hold(call, bytes.length)
    value.chunks.push(bytes.slice())
    value.bytes += bytes.length
    return done
  },
  flush: () => done,
  drop() {
    value.isBodyOpen = false
  },
})

function writeBody(_call: CallContext, self: OutgoingValue): Result<OutputStream, undefined> {
  if (self.hasBody) return err(undefined)
  self.hasBody = true
  self.isBodyOpen = true
  return ok(bodyOf(self))
}

function* finish(call: CallContext, value: OutgoingValue): Steps<Outcome<undefined>> {
  try {
    if (value.isBodyOpen) return err("Cannot finish a value whose stream is still open")
    const whole = new Uint8Array(value.bytes)
    let at = 0
    for (const chunk of value.chunks) {
      whole.set(chunk, at)
      at += chunk.length
    }
    for (const name of value.targets) {
      const stored = yield* under(call, "write", name, function* (grant) {
        yield* wait(call.ports.blob.put(key(call, name), whole))
        call.used(grant, whole.length)
        return done
      })
      if (stored.tag === "err") return stored
    }
    return done
  } finally {
    value.release(call)
  }
}

function consumeSync(call: CallContext, value: IncomingValue): Outcome<Uint8Array> {
  const bytes = value.release(call)
  return call.grants.allows("blob:read", value.name) ? ok(bytes) : denied(call, "read", value.name)
}

function consumeAsync(call: CallContext, value: IncomingValue): Outcome<InputStream> {
  const bytes = value.release(call)
  if (!call.grants.allows("blob:read", value.name)) return denied(call, "read", value.name)
  hold(call, bytes.length)
  const name = value.name
  return ok(bytesInput(bytes, (now) => (now.grants.allows("blob:read", name) ? undefined : failed(now.denied(`blob:read:${name}`).message))))
}

const { bool, string, u8, u64 } = primitive
const version = "0.2.0-draft"
const error = string
const containerType = resource("container")
const namesType = resource("stream-object-names")
const outgoingType = resource("outgoing-value")
const incomingType = resource("incoming-value")
const containers = plainResource(containerType)
const outgoing = { type: outgoingType, drop: (call: CallContext, rep: unknown) => (rep as OutgoingValue).release(call) }
const incoming = { type: incomingType, drop: (call: CallContext, rep: unknown) => void (rep as IncomingValue).release(call) }
const containerMetadata = record({ name: string, "created-at": u64 })
const objectMetadata = record({ name: string, container: string, "created-at": u64, size: u64 })
const objectId = record({ container: string, object: string })
const nothing = result(undefined, error)
const self = { self: borrow(containerType) }
const object = { ...self, name: string }

export const blob: Capability = {
  name: "blob",
  risk: "The plugin reads or changes the stored objects whose names start as granted, within its tenant, and learns when they were made.",
  mode: "either",
  forms: ["blob:read:PREFIX", "blob:write:PREFIX"],
  isInert: false,
  parse: actionForm("blob", ["read", "write"]),
  subset: isWithin,
  interfaces: [
    hostInterface("wasi:blobstore/types", version, {
      resources: { "input-stream": inputResource, "output-stream": outputResource, "outgoing-value": outgoing, "incoming-value": incoming },
      types: {
        "container-name": string,
        "object-name": string,
        timestamp: u64,
        "object-size": u64,
        error,
        "container-metadata": containerMetadata,
        "object-metadata": objectMetadata,
        "object-id": objectId,
        "incoming-value-async-body": own(inputResource.type),
        "incoming-value-sync-body": list(u8),
      },
      functions: {
        "[static]outgoing-value.new-outgoing-value": serve(func({}, own(outgoingType)), () => new OutgoingValue()),
        "[method]outgoing-value.outgoing-value-write-body": serve(func({ self: borrow(outgoingType) }, result(own(outputResource.type))), writeBody),
        "[static]outgoing-value.finish": serve(func({ this: own(outgoingType) }, nothing), flow(finish)),
        "[static]incoming-value.incoming-value-consume-sync": serve(func({ this: own(incomingType) }, result(list(u8), error)), consumeSync),
        "[static]incoming-value.incoming-value-consume-async": serve(func({ this: own(incomingType) }, result(own(inputResource.type), error)), consumeAsync),
        "[method]incoming-value.size": serve(func({ self: borrow(incomingType) }, u64), (_call, value: IncomingValue) => BigInt(value.bytes.length)),
      },
    }),
    hostInterface("wasi:blobstore/container", version, {
      resources: {
        "input-stream": inputResource,
        "output-stream": outputResource,
        "incoming-value": incoming,
        "outgoing-value": outgoing,
        container: containers,
        "stream-object-names": plainResource(namesType),
      },
      types: { "container-metadata": containerMetadata, error, "object-metadata": objectMetadata, "object-name": string },
      functions: {
        "[method]container.name": serve(func(self, result(string, error)), (_call, container: Container) => ok(container.name)),
        "[method]container.info": serve(func(self, result(containerMetadata, error)), flow(containerInfo)),
        "[method]container.get-data": serve(func({ ...object, start: u64, end: u64 }, result(own(incomingType), error)), flow(getData)),
        "[method]container.write-data": serve(func({ ...object, data: borrow(outgoingType) }, nothing), flow(writeData)),
        "[method]container.list-objects": serve(func(self, result(own(namesType), error)), listObjects),
        "[method]container.delete-object": serve(func(object, nothing), flow(deleteObject)),
        "[method]container.delete-objects": serve(func({ ...self, names: list(string) }, nothing), flow(deleteObjects)),
        "[method]container.has-object": serve(func(object, result(bool, error)), flow(hasObject)),
        "[method]container.object-info": serve(func(object, result(objectMetadata, error)), flow(objectInfo)),
        "[method]container.clear": serve(
          func(self, nothing),
          flow(function* (call: CallContext, container: Container) {
            if (!call.grants.reaches("blob:write", `${container.name}/`)) return denied(call, "write", `${container.name}/*`)
            return yield* empty(call, container.name, true)
          }),
        ),
        "[method]stream-object-names.read-stream-object-names": serve(
          func({ self: borrow(namesType), len: u64 }, result(tuple(list(string), bool), error)),
          flow((call: CallContext, names: ObjectNames, len: bigint) => takeNames(call, names, clip(len, namesMax))),
        ),
        "[method]stream-object-names.skip-stream-object-names": serve(
          func({ self: borrow(namesType), num: u64 }, result(tuple(u64, bool), error)),
          flow(skipNames),
        ),
      },
    }),
    hostInterface("wasi:blobstore/blobstore", version, {
      resources: { container: containers },
      types: { error, "container-name": string, "object-id": objectId },
      functions: {
        "create-container": serve(func({ name: string }, result(own(containerType), error)), flow(createContainer)),
        "get-container": serve(func({ name: string }, result(own(containerType), error)), flow(getContainer)),
        "delete-container": serve(func({ name: string }, nothing), flow(deleteContainer)),
        "container-exists": serve(func({ name: string }, result(bool, error)), flow(hasContainer)),
        "copy-object": serve(func({ src: objectId, dest: objectId }, nothing), flow(copyObject)),
        "move-object": serve(func({ src: objectId, dest: objectId }, nothing), flow(moveObject)),
      },
    }),
  ],
  needs: () => "blob:read:*",
  heads: () => ["blob:read", "blob:write"],
  ports: ["blob"],
}
