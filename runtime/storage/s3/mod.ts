export { type S3Credentials, type S3Timing } from "./client.ts"
export { type S3Limits, s3Limits, type S3Options, S3Store } from "./store.ts"
