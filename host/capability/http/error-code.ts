/** `wasi:http/types.error-code`: its type, and what of it each failure is. */
import { option, primitive, record, variant } from "../../../schemas/wit/model.ts"
import type { NetworkError } from "../../../schemas/error/network.ts"
import { IoError } from "../io.ts"

const { string, u8, u16, u32, u64 } = primitive

export const dnsErrorPayload = record({ rcode: option(string), "info-code": option(u16) })
export const tlsAlertPayload = record({ "alert-id": option(u8), "alert-message": option(string) })
export const fieldSizePayload = record({ "field-name": option(string), "field-size": option(u32) })

export const errorCodeType = variant({
  "DNS-timeout": undefined,
  "DNS-error": dnsErrorPayload,
  "destination-not-found": undefined,
  "destination-unavailable": undefined,
  "destination-IP-prohibited": undefined,
  "destination-IP-unroutable": undefined,
  "connection-refused": undefined,
  "connection-terminated": undefined,
  "connection-timeout": undefined,
  "connection-read-timeout": undefined,
  "connection-write-timeout": undefined,
  "connection-limit-reached": undefined,
  "TLS-protocol-error": undefined,
  "TLS-certificate-error": undefined,
  "TLS-alert-received": tlsAlertPayload,
  "HTTP-request-denied": undefined,
  "HTTP-request-length-required": undefined,
  "HTTP-request-body-size": option(u64),
  "HTTP-request-method-invalid": undefined,
  "HTTP-request-URI-invalid": undefined,
  "HTTP-request-URI-too-long": undefined,
  "HTTP-request-header-section-size": option(u32),
  "HTTP-request-header-size": option(fieldSizePayload),
  "HTTP-request-trailer-section-size": option(u32),
  "HTTP-request-trailer-size": fieldSizePayload,
  "HTTP-response-incomplete": undefined,
  "HTTP-response-header-section-size": option(u32),
  "HTTP-response-header-size": fieldSizePayload,
  "HTTP-response-body-size": option(u64),
  "HTTP-response-trailer-section-size": option(u32),
  "HTTP-response-trailer-size": fieldSizePayload,
  "HTTP-response-transfer-coding": option(string),
  "HTTP-response-content-coding": option(string),
  "HTTP-response-timeout": undefined,
  "HTTP-upgrade-failed": undefined,
  "HTTP-protocol-error": undefined,
  "loop-detected": undefined,
  "configuration-error": undefined,
  "internal-error": option(string),
})

export interface ErrorCode {
  readonly tag: string
  readonly val?: unknown
}

/** A failure of a body's stream; `http-error-code` tells which. */
export class HttpIoError extends IoError {
  readonly code: ErrorCode
  constructor(code: ErrorCode, message: string) {
    super(message)
    this.code = code
  }
}

/** What of `error-code` a failure is. The guest learns no address and no path of the host. */
export function errorCodeOf(error: NetworkError): ErrorCode {
  const { reason } = error
  switch (reason._tag) {
    case "Prohibited":
      return { tag: "destination-IP-prohibited" }
    case "Unresolved":
      return { tag: "DNS-error", val: { rcode: reason.detail.slice(0, 64), infoCode: undefined } }
    case "Unreachable":
      return { tag: reason.isRefused === true ? "connection-refused" : "destination-unavailable" }
    case "Tls":
      return { tag: reason.isCertificate ? "TLS-certificate-error" : "TLS-protocol-error" }
    case "Protocol":
      if (reason.kind === "incomplete") return { tag: "HTTP-response-incomplete" }
      if (reason.kind === undefined) return { tag: "HTTP-protocol-error" }
      return { tag: `HTTP-response-${reason.kind}`, val: undefined }
    case "Timeout":
      if (reason.limit === "resolveMs") return { tag: "DNS-timeout" }
      return { tag: reason.limit === "connectMs" ? "connection-timeout" : reason.limit === "exchangeMs" ? "HTTP-response-timeout" : "connection-read-timeout" }
    case "Limit":
      switch (reason.limit) {
        case "headerBytesMax":
        case "headersMax":
          return { tag: "HTTP-response-header-section-size", val: reason.limit === "headerBytesMax" ? reason.max : undefined }
        case "requestBytesMax":
          return { tag: "HTTP-request-body-size", val: BigInt(reason.max) }
        case "redirectsMax":
          return { tag: "loop-detected" }
        case "exchangesMax":
          return { tag: "connection-limit-reached" }
        default:
          return { tag: "HTTP-response-body-size", val: BigInt(reason.max) }
      }
    case "Url":
      return { tag: "HTTP-request-URI-invalid" }
    case "Field":
      return { tag: "HTTP-request-header-size", val: undefined }
    case "Broken":
      return { tag: "connection-terminated" }
    default:
      return { tag: "internal-error", val: undefined }
  }
}
