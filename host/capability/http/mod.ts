/**
 * `wasi:http` 0.2: `types` and `outgoing-handler`. WIT: 0.2.12 as shipped with jco 1.35 (`lib/wit/builtin/0.2.12/wasi-http`);
 * `response-outparam.send-informational` is unstable and not served.
 *
 * `types` alone reaches nothing and needs no grant. Redirects are answers like any other here: a guest that follows one
 * makes a request, which is granted or not.
 */
import { borrow, func, list, option, own, primitive, resource, result, tuple, type ValueType, variant } from "../../../schemas/wit/model.ts"
import type { NetworkError } from "../../../schemas/error/network.ts"
import type { HttpLimits } from "../../port/mod.ts"
import type { CallContext, HostExport, HostResource } from "../capability.ts"
import type { IoError } from "../io.ts"
import { errorResource, inputResource, outputResource, pending, pollableResource, wasiVersion } from "../io.ts"
import { urlCharsMax } from "../network/target.ts"
import { err, hostInterface, ok, type Result, serve } from "../serve.ts"
import type { FutureTrailers, IncomingBody, OutgoingBody } from "./body.ts"
import { type Sink } from "./body.ts"
import { dnsErrorPayload, type ErrorCode, errorCodeOf, errorCodeType, fieldSizePayload, HttpIoError, tlsAlertPayload } from "./error-code.ts"
import { Fields } from "./fields.ts"
import type { IncomingRequest, IncomingResponse, ResponseOutparam } from "./message.ts"
import { declaredLength, FutureIncomingResponse, type Method, methodOf, OutgoingRequest, OutgoingResponse, RequestOptions, type Scheme } from "./message.ts"
import { isDenial, networkError, type Opened, openExchange } from "./outgoing.ts"

const { bool, string, u8, u16, u64 } = primitive

const dropping = (name: string, drop: (rep: never, call: CallContext) => void): HostResource => ({
  type: resource(name),
  drop: (call, rep) => drop(rep as never, call),
})

const fields = dropping("fields", (self: Fields, call) => self.drop(call))
const incomingRequest = dropping("incoming-request", (self: IncomingRequest) => self.drop())
const outgoingRequest = dropping("outgoing-request", (self: OutgoingRequest, call) => self.headers.drop(call))
const requestOptions: HostResource = { type: resource("request-options") }
const outparam: HostResource = { type: resource("response-outparam") }
const incomingResponse = dropping("incoming-response", (self: IncomingResponse) => self.drop())
const incomingBody = dropping("incoming-body", (self: IncomingBody) => self.drop())
const futureTrailers = dropping("future-trailers", (self: FutureTrailers) => self.drop())
const outgoingResponse = dropping("outgoing-response", (self: OutgoingResponse, call) => self.headers.drop(call))
const outgoingBody = dropping("outgoing-body", (self: OutgoingBody, call) => self.drop(call))
const futureResponse = dropping("future-incoming-response", (self: FutureIncomingResponse) => self.drop())

const method = variant({
  get: undefined,
  head: undefined,
  post: undefined,
  put: undefined,
  delete: undefined,
  connect: undefined,
  options: undefined,
  trace: undefined,
  patch: undefined,
  other: string,
})
const scheme = variant({ HTTP: undefined, HTTPS: undefined, other: string })
const headerError = variant({ "invalid-syntax": undefined, forbidden: undefined, immutable: undefined })
const value = list(u8)
const changed = result(undefined, headerError)
const none = result()

const of = ({ type }: HostResource) => ({ self: borrow(type) })
const getter = (from: HostResource, type: ValueType, read: (self: never, call: CallContext) => unknown): HostExport =>
  serve(func(of(from), type), (call, self: never) => read(self, call))
const setter = (on: HostResource, label: string, type: ValueType, write: (self: never, value: never) => unknown): HostExport =>
  serve(func({ ...of(on), [label]: type }, none), (_call, self: never, given: never) => write(self, given))

type Duration = "connectTimeout" | "firstByteTimeout" | "betweenBytesTimeout"
const duration = (label: string, name: Duration): Readonly<Record<string, HostExport>> => ({
  [`[method]request-options.${label}`]: getter(requestOptions, option(u64), (self: RequestOptions) => self[name]),
  [`[method]request-options.set-${label}`]: setter(requestOptions, "duration", option(u64), (self: RequestOptions, ns: bigint | undefined) => {
    self[name] = ns
    return ok(undefined)
  }),
})

const bodyOf = (from: HostResource, body: HostResource, take: (self: never, call: CallContext) => unknown): HostExport =>
  getter(from, result(own(body.type)), take)

const types = hostInterface("wasi:http/types", wasiVersion, {
  resources: {
    fields,
    "incoming-request": incomingRequest,
    "outgoing-request": outgoingRequest,
    "request-options": requestOptions,
    "response-outparam": outparam,
    "incoming-response": incomingResponse,
    "incoming-body": incomingBody,
    "future-trailers": futureTrailers,
    "outgoing-response": outgoingResponse,
    "outgoing-body": outgoingBody,
    "future-incoming-response": futureResponse,
    // Used from elsewhere, and exported under their names here: `io-error` is `error`.
    "input-stream": inputResource,
    "output-stream": outputResource,
    "io-error": errorResource,
    pollable: pollableResource,
    headers: fields,
    trailers: fields,
  },
  types: {
    duration: u64,
    method,
    scheme,
    "DNS-error-payload": dnsErrorPayload,
    "TLS-alert-received-payload": tlsAlertPayload,
    "field-size-payload": fieldSizePayload,
    "error-code": errorCodeType,
    "header-error": headerError,
    "field-key": string,
    "field-name": string,
    "field-value": value,
    "status-code": u16,
  },
  functions: {
    "http-error-code": serve(func({ err: borrow(errorResource.type) }, option(errorCodeType)), (_call, error: IoError) =>
      error instanceof HttpIoError ? error.code : undefined,
    ),
    "[constructor]fields": serve(func({}, own(fields.type)), () => Fields.make()),
    "[static]fields.from-list": serve(
      func({ entries: list(tuple(string, value)) }, result(own(fields.type), headerError)),
      (call, entries: ReadonlyArray<readonly [string, Uint8Array]>) => Fields.fromList(call, entries),
    ),
    "[method]fields.get": serve(func({ ...of(fields), name: string }, list(value)), (_call, self: Fields, name: string) => self.get(name)),
    "[method]fields.has": serve(func({ ...of(fields), name: string }, bool), (_call, self: Fields, name: string) => self.has(name)),
    "[method]fields.set": serve(
      func({ ...of(fields), name: string, value: list(value) }, changed),
      (call, self: Fields, name: string, values: ReadonlyArray<Uint8Array>) => self.set(call, name, values),
    ),
    "[method]fields.delete": serve(func({ ...of(fields), name: string }, changed), (call, self: Fields, name: string) => self.delete(call, name)),
    "[method]fields.append": serve(func({ ...of(fields), name: string, value }, changed), (call, self: Fields, name: string, bytes: Uint8Array) =>
      self.append(call, name, bytes),
    ),
    "[method]fields.entries": getter(fields, list(tuple(string, value)), (self: Fields) => self.entries()),
    "[method]fields.clone": getter(fields, own(fields.type), (self: Fields, call) => self.clone(call)),

    "[method]incoming-request.method": getter(incomingRequest, method, (self: IncomingRequest) => self.method),
    "[method]incoming-request.path-with-query": getter(incomingRequest, option(string), (self: IncomingRequest) => self.pathWithQuery),
    "[method]incoming-request.scheme": getter(incomingRequest, option(scheme), (self: IncomingRequest) => self.scheme),
    "[method]incoming-request.authority": getter(incomingRequest, option(string), (self: IncomingRequest) => self.authority),
    "[method]incoming-request.headers": getter(incomingRequest, own(fields.type), (self: IncomingRequest) => self.headers.view()),
    "[method]incoming-request.consume": bodyOf(incomingRequest, incomingBody, (self: IncomingRequest) => self.consume()),

    "[constructor]outgoing-request": serve(
      func({ headers: own(fields.type) }, own(outgoingRequest.type)),
      (_call, headers: Fields) => new OutgoingRequest(headers),
    ),
    "[method]outgoing-request.body": bodyOf(outgoingRequest, outgoingBody, (self: OutgoingRequest, call) => self.body(call)),
    "[method]outgoing-request.method": getter(outgoingRequest, method, (self: OutgoingRequest) => methodOf(self.method)),
    "[method]outgoing-request.set-method": setter(outgoingRequest, "method", method, (self: OutgoingRequest, given: Method) => self.setMethod(given)),
    "[method]outgoing-request.path-with-query": getter(outgoingRequest, option(string), (self: OutgoingRequest) => self.pathWithQuery),
    "[method]outgoing-request.set-path-with-query": setter(
      outgoingRequest,
      "path-with-query",
      option(string),
      (self: OutgoingRequest, given: string | undefined) => self.setPath(given),
    ),
    "[method]outgoing-request.scheme": getter(outgoingRequest, option(scheme), (self: OutgoingRequest) => self.scheme),
    "[method]outgoing-request.set-scheme": setter(outgoingRequest, "scheme", option(scheme), (self: OutgoingRequest, given: Scheme | undefined) =>
      self.setScheme(given),
    ),
    "[method]outgoing-request.authority": getter(outgoingRequest, option(string), (self: OutgoingRequest) => self.authority),
    "[method]outgoing-request.set-authority": setter(outgoingRequest, "authority", option(string), (self: OutgoingRequest, given: string | undefined) =>
      self.setAuthority(given),
    ),
    "[method]outgoing-request.headers": getter(outgoingRequest, own(fields.type), (self: OutgoingRequest) => self.headers.view()),

    "[constructor]request-options": serve(func({}, own(requestOptions.type)), () => new RequestOptions()),
    ...duration("connect-timeout", "connectTimeout"),
    ...duration("first-byte-timeout", "firstByteTimeout"),
    ...duration("between-bytes-timeout", "betweenBytesTimeout"),

    "[static]response-outparam.set": serve(
      func({ param: own(outparam.type), response: result(own(outgoingResponse.type), errorCodeType) }),
      (call, param: ResponseOutparam, response: Result<OutgoingResponse, ErrorCode>) => param.set(call, response),
    ),

    "[method]incoming-response.status": getter(incomingResponse, u16, (self: IncomingResponse) => self.status),
    "[method]incoming-response.headers": getter(incomingResponse, own(fields.type), (self: IncomingResponse) => self.headers.view()),
    "[method]incoming-response.consume": bodyOf(incomingResponse, incomingBody, (self: IncomingResponse) => self.consume()),

    "[method]incoming-body.stream": bodyOf(incomingBody, inputResource, (self: IncomingBody) => taken(self.stream())),
    "[static]incoming-body.finish": serve(func({ this: own(incomingBody.type) }, own(futureTrailers.type)), (_call, self: IncomingBody) => self.finish()),

    "[method]future-trailers.subscribe": getter(futureTrailers, own(pollableResource.type), (self: FutureTrailers) =>
      pending(self.waker, () => self.isReady()),
    ),
    "[method]future-trailers.get": getter(futureTrailers, option(result(result(option(own(fields.type)), errorCodeType))), (self: FutureTrailers) => {
      const got = self.get()
      if (got?.tag !== "ok" || got.val.tag !== "ok" || got.val.val === undefined) return got
      return ok(ok(Fields.received(got.val.val)))
    }),

    "[constructor]outgoing-response": serve(
      func({ headers: own(fields.type) }, own(outgoingResponse.type)),
      (_call, headers: Fields) => new OutgoingResponse(headers),
    ),
    "[method]outgoing-response.status-code": getter(outgoingResponse, u16, (self: OutgoingResponse) => self.status),
    "[method]outgoing-response.set-status-code": setter(outgoingResponse, "status-code", u16, (self: OutgoingResponse, given: number) => self.setStatus(given)),
    "[method]outgoing-response.headers": getter(outgoingResponse, own(fields.type), (self: OutgoingResponse) => self.headers.view()),
    "[method]outgoing-response.body": bodyOf(outgoingResponse, outgoingBody, (self: OutgoingResponse, call) => self.body(call)),

    "[method]outgoing-body.write": bodyOf(outgoingBody, outputResource, (self: OutgoingBody) => taken(self.stream())),
    "[static]outgoing-body.finish": serve(
      func({ this: own(outgoingBody.type), trailers: option(own(fields.type)) }, result(undefined, errorCodeType)),
      (call, self: OutgoingBody, trailers: Fields | undefined) => {
        const finished = self.finish(trailers)
        self.drop(call)
        trailers?.drop(call)
        return finished
      },
    ),

    "[method]future-incoming-response.subscribe": getter(futureResponse, own(pollableResource.type), (self: FutureIncomingResponse) =>
      pending(self.waker, () => self.isReady()),
    ),
    "[method]future-incoming-response.get": getter(
      futureResponse,
      option(result(result(own(incomingResponse.type), errorCodeType))),
      (self: FutureIncomingResponse) => self.get(),
    ),
  },
})

const taken = <A>(stream: A | undefined): Result<A, undefined> => (stream === undefined ? err(undefined) : ok(stream))

const sinkOf = (exchange: Opened): Sink => ({
  room: () => exchange.room(),
  write: (bytes) => exchange.write(bytes),
  end: (trailers) => exchange.end(trailers),
  abort: () => exchange.close(),
  waker: exchange.waker,
})

const msOf = (ns: bigint | undefined): number | undefined => (ns === undefined ? undefined : Math.max(1, Math.min(Number(ns / 1_000_000n), 86_400_000)))

function limitsOf(options: RequestOptions | undefined): Partial<HttpLimits> {
  const given: Readonly<Record<string, number | undefined>> = {
    connectMs: msOf(options?.connectTimeout),
    firstByteMs: msOf(options?.firstByteTimeout),
    betweenBytesMs: msOf(options?.betweenBytesTimeout),
  }
  return Object.fromEntries(Object.entries(given).filter(([, ms]) => ms !== undefined))
}

function handle(call: CallContext, request: OutgoingRequest, options: RequestOptions | undefined): Result<FutureIncomingResponse, ErrorCode> {
  const body = request.outgoing
  try {
    const url = request.url()
    if (url === undefined) return err({ tag: "HTTP-request-URI-invalid" })
    if (request.isForbidden) return err({ tag: "HTTP-request-method-invalid" })
    if (declaredLength(request.headers) === "invalid")
      return err({ tag: "HTTP-request-header-size", val: { fieldName: "content-length", fieldSize: undefined } })
    const { exchange, guard } = openExchange(call, {
      method: request.method,
      url,
      // The length is the exchange's to say.
      headers: request.headers.list().filter(([name]) => name !== "content-length"),
      bodyBytes: body === undefined ? 0 : body.length,
      decompress: false,
      limits: limitsOf(options),
    })
    body?.attach(call, sinkOf(exchange), guard)
    return ok(new FutureIncomingResponse(exchange, guard))
  } catch (error) {
    if (isDenial(error)) return err({ tag: "HTTP-request-denied" })
    const { reason } = networkError(error)
    if (reason._tag === "Url" && (request.url()?.length ?? 0) > urlCharsMax) return err({ tag: "HTTP-request-URI-too-long" })
    if (reason._tag === "Limit" && reason.limit.startsWith("header")) return err({ tag: "HTTP-request-header-section-size", val: reason.max })
    return err(errorCodeOf(error as NetworkError))
  } finally {
    request.headers.drop(call)
  }
}

const outgoingHandler = hostInterface("wasi:http/outgoing-handler", wasiVersion, {
  resources: { "outgoing-request": outgoingRequest, "request-options": requestOptions, "future-incoming-response": futureResponse },
  types: { "error-code": errorCodeType },
  functions: {
    handle: serve(
      func({ request: own(outgoingRequest.type), options: option(own(requestOptions.type)) }, result(own(futureResponse.type), errorCodeType)),
      handle,
      "source",
    ),
  },
})

export const httpInterfaces = [types, outgoingHandler]
