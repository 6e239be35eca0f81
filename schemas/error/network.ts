import { family, reason } from "./family.ts"

const host = (d: { readonly host: string }): string => d.host

/** The network as plugins use it: where requests may go, how they fail, what comes in. */
export class NetworkError extends family("NetworkError", {
  Prohibited: reason<{ readonly host: string; readonly address: string; readonly kind: string }>({
    code: "STELE-NET-0001",
    status: 403,
    exit: 5,
    isRetryable: false,
    message: (d) => `Cannot connect to "${d.host}": its address ${d.address} is ${d.kind}`,
    fix: (d) => `if it is meant, grant the address itself: --grant 'http:GET:http://${d.address}/*'`,
  }),
  Unresolved: reason<{ readonly host: string; readonly detail: string }>({
    code: "STELE-NET-0002",
    status: 502,
    exit: 69,
    isRetryable: true,
    message: (d) => `Cannot resolve "${d.host}": ${d.detail}`,
    fix: (d) => `check the name: nslookup ${host(d)}`,
  }),
  Unreachable: reason<{ readonly host: string; readonly detail: string; readonly isRefused?: boolean }>({
    code: "STELE-NET-0003",
    status: 502,
    exit: 69,
    isRetryable: true,
    message: (d) => `Cannot connect to "${d.host}": ${d.detail}`,
    fix: () => "check that the server runs and that this machine reaches it",
  }),
  Tls: reason<{ readonly host: string; readonly detail: string; readonly isCertificate: boolean }>({
    code: "STELE-NET-0004",
    status: 502,
    exit: 69,
    isRetryable: false,
    message: (d) => `Cannot trust "${d.host}": ${d.detail}`,
    fix: () => "renew the server's certificate, or give the host the authority that signed it: network: { certificateAuthority }",
  }),
  Protocol: reason<{ readonly host: string; readonly detail: string; readonly kind?: "content-coding" | "transfer-coding" | "incomplete" }>({
    code: "STELE-NET-0005",
    status: 502,
    exit: 1,
    isRetryable: false,
    message: (d) => `Cannot read the answer of "${d.host}": ${d.detail}`,
    fix: () => "check that it speaks HTTP/1.1: curl --http1.1 -v",
  }),
  Timeout: reason<{ readonly host: string; readonly limit: string; readonly ms: number }>({
    code: "STELE-NET-0006",
    status: 504,
    exit: 7,
    isRetryable: true,
    message: (d) => `Cannot wait longer for "${d.host}": ${d.limit} is ${d.ms} ms`,
    fix: (d) => `raise the limit: network: { http: { ${d.limit} } }, or find out why it is slow`,
  }),
  Limit: reason<{ readonly host: string; readonly limit: string; readonly unit: string; readonly max: number; readonly field?: string }>({
    code: "STELE-NET-0007",
    status: 413,
    exit: 7,
    isRetryable: false,
    message: (d) => `Cannot exceed "${d.limit}" with "${d.host}": the limit is ${d.max} ${d.unit}`,
    fix: (d) => `raise the limit: network: { http: { ${d.limit} } }`,
  }),
  Url: reason<{ readonly url: string; readonly detail: string }>({
    code: "STELE-NET-0008",
    status: 400,
    exit: 2,
    isRetryable: false,
    message: (d) => `Cannot request "${d.url}": ${d.detail}`,
    fix: () => "use an absolute http or https URL without credentials",
  }),
  Field: reason<{ readonly name: string; readonly detail: string }>({
    code: "STELE-NET-0009",
    status: 400,
    exit: 2,
    isRetryable: false,
    message: (d) => `Cannot send the header "${d.name}": ${d.detail}`,
    fix: () => "leave it out: the host writes headers of the connection itself",
  }),
  Broken: reason<{ readonly host: string; readonly detail: string }>({
    code: "STELE-NET-0010",
    status: 502,
    exit: 69,
    isRetryable: true,
    message: (d) => `Cannot continue with "${d.host}": ${d.detail}`,
    fix: () => "try again: the connection ended early",
  }),
}) {}
