/** The families that any host may throw; those of what is loaded later (files, isolation, foreign ABIs, network, pools, storage) come with it. */
export { AsyncError } from "./async.ts"
export { CapabilityError } from "./capability.ts"
export { ConfigError } from "./config.ts"
export { catalogue, type ErrorJson, type ExitCode, type ReasonSpec, SteleError } from "./family.ts"
export { LimitError, type LimitName, limits } from "./limit.ts"
export { PluginError } from "./plugin.ts"
export { VerifyError } from "./verify.ts"
export { WitError } from "./wit.ts"
