/** `s3://bucket/prefix?endpoint=…&region=…`. Credentials are no part of it: they come from the environment or a file. */
import { StorageError } from "../../../schemas/error/storage.ts"

export interface S3Address {
  /** As it is shown. */
  readonly name: string
  readonly bucket: string
  /** Empty, or ends in "/". */
  readonly prefix: string
  readonly endpoint: string | undefined
  readonly region: string
}

const known = ["s3://BUCKET/PREFIX?endpoint=URL&region=NAME"]

/** Throws `StorageError` `Address`, without what could be a secret in it. */
export function s3Address(address: string): S3Address {
  const refuse = (): never => {
    throw new StorageError("Address", { address: address.replace(/:\/\/[^@/]*@/, "://…@").replace(/\?.*$/s, ""), known })
  }
  const url = URL.canParse(address) ? new URL(address) : refuse()
  const endpoint = url.searchParams.get("endpoint") ?? undefined
  const isKnown = [...url.searchParams.keys()].every((key) => key === "endpoint" || key === "region")
  const path = decodeURIComponent(url.pathname).replace(/^\/+|\/+$/g, "")
  if (url.protocol !== "s3:" || url.username !== "" || url.password !== "" || !isKnown || url.hash !== "" || url.port !== "") refuse()
  if (!/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(url.hostname) || !/^[\w!'()*/.-]{0,512}$/.test(path) || path.split("/").includes("..")) refuse()
  if (endpoint !== undefined && !/^https?:\/\/[^@]+$/.test(endpoint)) refuse()
  const prefix = path === "" ? "" : `${path}/`
  return { name: `s3://${url.hostname}/${prefix}`, bucket: url.hostname, prefix, endpoint, region: url.searchParams.get("region") ?? "us-east-1" }
}
