/**
 * The ports as Effect services, each with its memory layer. They are apart from the ports themselves because the host's
 * promise facade and browser bundle use ports without Effect: `effect/Context` and `effect/Layer` took 34 to 62 ms to
 * import from source on the machine of the benchmarks, more than the whole start-up budget of HOST.md §8.
 *
 *     const program = Effect.gen(function* () {
 *       const ports = yield* portsEffect
 *       ports.log.write(…)
 *     }).pipe(Effect.provide(layerMemory))
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { type KeyValuePort, memoryKeyValue } from "./key-value.ts"
import { type BlobPort, memoryBlob } from "./blob.ts"
import { type LogPort, memoryLog } from "./log.ts"
import { type WallClockPort, memoryWallClock } from "./wall-clock.ts"
import { type MonotonicClockPort, memoryMonotonicClock } from "./monotonic-clock.ts"
import { type RandomPort, memoryRandom } from "./random.ts"
import { type ConfigPort, memoryConfig } from "./config.ts"
import { type SecretPort, memorySecret } from "./secret.ts"
import { type EventPort, memoryEvent } from "./event.ts"
import { type HttpPort, memoryHttp } from "./http.ts"
import { memorySocket, type SocketPort } from "./socket.ts"
import { type ObserverPort, memoryObserver } from "./observer.ts"
import { type AdmissionPort, memoryAdmission } from "./admission.ts"
import type { Ports } from "./mod.ts"

/** Small values by key. */
export class KeyValue extends Context.Service<KeyValue, KeyValuePort>()("stele/KeyValue") {
  static readonly layerMemory = Layer.sync(KeyValue, () => memoryKeyValue())
}

/** Large immutable values by key. */
export class Blob extends Context.Service<Blob, BlobPort>()("stele/Blob") {
  static readonly layerMemory = Layer.sync(Blob, () => memoryBlob())
}

/** Where plugins' messages go. */
export class Log extends Context.Service<Log, LogPort>()("stele/Log") {
  static readonly layerMemory = Layer.sync(Log, () => memoryLog())
}

/** Civil time. */
export class WallClock extends Context.Service<WallClock, WallClockPort>()("stele/WallClock") {
  static readonly layerMemory = Layer.sync(WallClock, () => memoryWallClock())
}

/** Time that never goes back. */
export class MonotonicClock extends Context.Service<MonotonicClock, MonotonicClockPort>()("stele/MonotonicClock") {
  static readonly layerMemory = Layer.sync(MonotonicClock, () => memoryMonotonicClock())
}

/** Unpredictable bytes. */
export class Random extends Context.Service<Random, RandomPort>()("stele/Random") {
  static readonly layerMemory = Layer.sync(Random, () => memoryRandom())
}

/** Settings by name. */
export class Config extends Context.Service<Config, ConfigPort>()("stele/Config") {
  static readonly layerMemory = Layer.sync(Config, () => memoryConfig())
}

/** Credentials by name. */
export class Secret extends Context.Service<Secret, SecretPort>()("stele/Secret") {
  static readonly layerMemory = Layer.sync(Secret, () => memorySecret())
}

/** Topics as logs. */
export class Event extends Context.Service<Event, EventPort>()("stele/Event") {
  static readonly layerMemory = Layer.sync(Event, () => memoryEvent())
}

/** HTTP requests that leave. */
export class Http extends Context.Service<Http, HttpPort>()("stele/Http") {
  static readonly layerMemory = Layer.sync(Http, () => memoryHttp())
}

/** Connections and look-ups of names. */
export class Socket extends Context.Service<Socket, SocketPort>()("stele/Socket") {
  static readonly layerMemory = Layer.sync(Socket, () => memorySocket())
}

/** Usage records, denials, grant changes and stops. */
export class Observer extends Context.Service<Observer, ObserverPort>()("stele/Observer") {
  static readonly layerMemory = Layer.sync(Observer, () => memoryObserver())
}

/** The host's policy on loads and calls. */
export class Admission extends Context.Service<Admission, AdmissionPort>()("stele/Admission") {
  static readonly layerMemory = Layer.sync(Admission, () => memoryAdmission())
}

/** Every port in this process; the admission service, which admits all, included. */
export const layerMemory = Layer.mergeAll(
  KeyValue.layerMemory,
  Blob.layerMemory,
  Log.layerMemory,
  WallClock.layerMemory,
  MonotonicClock.layerMemory,
  Random.layerMemory,
  Config.layerMemory,
  Secret.layerMemory,
  Event.layerMemory,
  Http.layerMemory,
  Socket.layerMemory,
  Observer.layerMemory,
  Admission.layerMemory,
)

/** The services as the record that a host takes; without an `Admission` service nothing is asked. */
export const portsEffect = Effect.gen(function* () {
  const admission = yield* Effect.serviceOption(Admission)
  const ports: Ports = {
    keyValue: yield* KeyValue,
    blob: yield* Blob,
    log: yield* Log,
    wallClock: yield* WallClock,
    monotonicClock: yield* MonotonicClock,
    random: yield* Random,
    config: yield* Config,
    secret: yield* Secret,
    event: yield* Event,
    http: yield* Http,
    socket: yield* Socket,
    observer: yield* Observer,
    ...(Option.isNone(admission) ? {} : { admission: admission.value }),
  }
  return ports
})
