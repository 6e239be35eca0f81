/** Roles that are there in every database of ours. */

/** The role that services log in as. */
export const serviceRole = "stele_service"
/** The role for what concerns all tenants: checks, garbage, moves. No guest's port has a session of it. */
export const workerRole = "stele_worker"
