/**
 * What a guest can be granted, and whom the host asks and tells. Ports are plain objects without dependencies; every one
 * has a constructor `memory…()` that works in any JavaScript engine. Effect services over them: `host/port/layer.ts`.
 */
import type { AdmissionPort } from "./admission.ts"
import { type BlobPort, memoryBlob } from "./blob.ts"
import { type ConfigPort, memoryConfig } from "./config.ts"
import { type EventPort, memoryEvent } from "./event.ts"
import type { FileSystemPort } from "./file-system.ts"
import { type HttpPort, memoryHttp } from "./http.ts"
import { type KeyValuePort, memoryKeyValue } from "./key-value.ts"
import { type LogPort, memoryLog } from "./log.ts"
import { memoryMonotonicClock, type MonotonicClockPort } from "./monotonic-clock.ts"
import { memoryObserver, type ObserverPort } from "./observer.ts"
import { memoryRandom, type RandomPort } from "./random.ts"
import { memorySecret, type SecretPort } from "./secret.ts"
import { memorySocket, type SocketPort } from "./socket.ts"
import { memoryWallClock, type WallClockPort } from "./wall-clock.ts"

export * from "./admission.ts"
export * from "./blob.ts"
export * from "./config.ts"
export * from "./event.ts"
export type * from "./file-system.ts"
export { memoryFileSystem, type MemoryFileSystemLimits } from "./memory-file-system.ts"
export * from "./http.ts"
export * from "./key-value.ts"
export * from "./log.ts"
export * from "./monotonic-clock.ts"
export * from "./observer.ts"
export { type Awaitable, compareUtf8, contentKey, type Immediate, type Port, tenantKey, tenantPrefix } from "./port.ts"
export * from "./random.ts"
export * from "./secret.ts"
export * from "./socket.ts"
export type { Waker } from "./waker.ts"
export * from "./wall-clock.ts"

/** All ports of a host. */
export interface Ports {
  readonly keyValue: KeyValuePort
  readonly blob: BlobPort
  readonly log: LogPort
  readonly wallClock: WallClockPort
  readonly monotonicClock: MonotonicClockPort
  readonly random: RandomPort
  readonly config: ConfigPort
  readonly secret: SecretPort
  readonly event: EventPort
  readonly http: HttpPort
  readonly socket: SocketPort
  readonly observer: ObserverPort
  /** Absent: the machine's own, where there is one. Nothing of it is reached without directories and grants. */
  readonly fileSystem?: FileSystemPort
  /** Absent: everything is admitted, at no cost. */
  readonly admission?: AdmissionPort
}

/** Ports that live in this process, with defaults for everything not given: `memoryPorts({ log: myLog })`. */
export const memoryPorts = (given: Partial<Ports> = {}): Ports => ({
  keyValue: given.keyValue ?? memoryKeyValue(),
  blob: given.blob ?? memoryBlob(),
  log: given.log ?? memoryLog(),
  wallClock: given.wallClock ?? memoryWallClock(),
  monotonicClock: given.monotonicClock ?? memoryMonotonicClock(),
  random: given.random ?? memoryRandom(),
  config: given.config ?? memoryConfig(),
  secret: given.secret ?? memorySecret(),
  event: given.event ?? memoryEvent(),
  http: given.http ?? memoryHttp(),
  socket: given.socket ?? memorySocket(),
  observer: given.observer ?? memoryObserver(),
  ...(given.fileSystem === undefined ? {} : { fileSystem: given.fileSystem }),
  ...(given.admission === undefined ? {} : { admission: given.admission }),
})
