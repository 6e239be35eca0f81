/** Modules that an Extism plugin imports: Extism's own functions, and those of the application. */
export const envModule = "extism:host/env"
export const userModule = "extism:host/user"
/** What the module is called whose functions are the plugin's. */
export const mainName = "main"
