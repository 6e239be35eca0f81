/**
 * The AWS SDK as this store uses it: loaded when an address asks for it, with bounded time and retries, its errors as ours.
 * It is an optional peer of the package, so its types are stated here as far as they are used.
 */
import { SteleError } from "../../../schemas/error/family.ts"
import { StorageError } from "../../../schemas/error/storage.ts"
import { detailOf } from "../sqlite/database.ts"
import type { S3Address } from "./address.ts"

export interface S3Credentials {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string
}

export interface S3Timing {
  /** Attempts of one request, the first included; waits between them double, up to 20 s. */
  readonly attemptsMax: number
  /** Until a connection stands. */
  readonly connectMsMax: number
  /** Until a request with all of its attempts has an answer, and between two pieces of one that is read. */
  readonly requestMsMax: number
}

/** What is asked with which command, and what of its answer is used. */
interface Commands {
  PutObject: { readonly ETag?: string }
  GetObject: { readonly Body?: AsyncIterable<Uint8Array> & { destroy?(): void } }
  HeadObject: { readonly ContentLength?: number; readonly LastModified?: Date; readonly ETag?: string }
  DeleteObject: object
  CopyObject: { readonly CopyObjectResult?: { readonly LastModified?: Date } }
  ListObjectsV2: {
    readonly Contents?: ReadonlyArray<{ readonly Key?: string; readonly LastModified?: Date; readonly Size?: number }>
    readonly IsTruncated?: boolean
  }
  CreateMultipartUpload: { readonly UploadId?: string }
  UploadPart: { readonly ETag?: string }
  CompleteMultipartUpload: object
  AbortMultipartUpload: object
  ListMultipartUploads: {
    readonly Uploads?: ReadonlyArray<{ readonly Key?: string; readonly UploadId?: string; readonly Initiated?: Date }>
    readonly IsTruncated?: boolean
    readonly NextKeyMarker?: string
    readonly NextUploadIdMarker?: string
  }
}

interface Sdk {
  readonly S3Client: new (config: object) => { send(command: object, options?: object): Promise<unknown>; destroy(): void }
}

const driver = "@aws-sdk/client-s3"

interface Answer {
  readonly name?: string
  readonly message?: string
  readonly code?: string
  readonly $metadata?: { readonly httpStatusCode?: number }
}

const statusOf = (error: unknown): number | undefined => (error as Answer).$metadata?.httpStatusCode
export const isAbsent = (error: unknown): boolean => statusOf(error) === 404 && (error as Answer).name !== "NoSuchBucket"
export const isPrecondition = (error: unknown): boolean => statusOf(error) === 412 || statusOf(error) === 409
export const isUnsupported = (error: unknown): boolean => [405, 501].includes(statusOf(error) ?? 0) || (error as Answer).name === "NotImplemented"
const denials =
  /^(AccessDenied|InvalidAccessKeyId|SignatureDoesNotMatch|InvalidToken|ExpiredToken|CredentialsProviderError|TokenProviderError|Unauthorized|Forbidden)$/

export class S3Client {
  readonly #address: S3Address
  readonly #sdk: Sdk & Readonly<Record<string, new (input: object) => object>>
  readonly #client: InstanceType<Sdk["S3Client"]>
  readonly #requestMsMax: number

  private constructor(address: S3Address, sdk: unknown, credentials: S3Credentials | undefined, timing: S3Timing) {
    this.#address = address
    this.#sdk = sdk as Sdk & Readonly<Record<string, new (input: object) => object>>
    this.#requestMsMax = timing.requestMsMax
    this.#client = new this.#sdk.S3Client({
      region: address.region,
      ...(address.endpoint === undefined ? {} : { endpoint: address.endpoint, forcePathStyle: true }),
      ...(credentials === undefined ? {} : { credentials }),
      // Many servers that speak the API know no checksum trailers.
      requestChecksumCalculation: "WHEN_REQUIRED",
      responseChecksumValidation: "WHEN_REQUIRED",
      maxAttempts: timing.attemptsMax,
      retryMode: "standard",
      requestHandler: { connectionTimeout: timing.connectMsMax, socketTimeout: timing.requestMsMax },
    })
  }

  /** Throws `StorageError` `Driver` where the package is not installed. */
  static async load(
    address: S3Address,
    load: (() => Promise<unknown>) | undefined,
    credentials: S3Credentials | undefined,
    timing: S3Timing,
  ): Promise<S3Client> {
    let sdk: unknown
    try {
      sdk = await (load ?? (() => import(driver)))()
    } catch (cause) {
      throw new StorageError("Driver", { store: address.name, package: driver }, { cause })
    }
    return new S3Client(address, sdk, credentials, timing)
  }

  /** One request with its retries. What the server refuses is thrown as it came: see `typed`. */
  async send<C extends keyof Commands>(command: C, input: object): Promise<Commands[C]> {
    const Command = this.#sdk[`${command}Command`] as new (input: object) => object
    const stop = new AbortController()
    const timer = setTimeout(() => stop.abort(new Error(`no answer within ${this.#requestMsMax} ms`)), this.#requestMsMax)
    try {
      return (await this.#client.send(new Command({ Bucket: this.#address.bucket, ...input }), { abortSignal: stop.signal })) as Commands[C]
    } catch (error) {
      throw stop.signal.aborted ? stop.signal.reason : error
    } finally {
      clearTimeout(timer)
    }
  }

  /** Anything that went wrong with the server as a typed error; messages of the SDK name no secret. */
  typed(error: unknown): SteleError {
    if (error instanceof SteleError) return error
    const { name = "", message = "", code } = error as Answer
    const status = statusOf(error)
    const store = this.#address.name
    if (denials.test(name) || status === 401 || status === 403) return new StorageError("Denied", { store, detail: name || String(status) }, { cause: error })
    if (name === "NoSuchBucket") return new StorageError("Remote", { store, detail: `there is no bucket "${this.#address.bucket}"` }, { cause: error })
    const detail = [status === undefined ? code : `status ${status}`, name, message || detailOf(error)].filter(Boolean).join(" ").slice(0, 300)
    return new StorageError("Remote", { store, detail }, { cause: error })
  }

  close(): void {
    this.#client.destroy()
  }
}
