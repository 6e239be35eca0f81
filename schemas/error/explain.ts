/**
 * What each error means and why the host does this, by code: what `stele explain CODE` prints. Apart from the reasons
 * themselves, so that a host in a browser does not carry sentences it never shows.
 */
import { type LimitName, limits } from "./limit.ts"

/** What each limit bounds. */
export const limitMeanings: Readonly<Record<LimitName, string>> = {
  memoryBytesMax: "sum over all linear memories of one plugin instance",
  tableElementsMax: "sum over all tables of one plugin instance",
  stackBytesMax: "guest stack, counted as 8 bytes a local and operand slot and 64 bytes a frame",
  outputBytesMax: "bytes of one call's lifted result",
  liftBytesMax: "bytes read out of a guest in one call, results and host-call arguments, aliased or not",
  hostCallBytesMax: "bytes of the arguments of one host call",
  hostCallsMax: "host calls in one call",
  handlesMax: "live resource handles of one plugin instance",
  fuel: "cost of one call by the published cost table",
  deadlineMs: "wall-clock time of one call",
  loadMs: "wall-clock time of decoding, compiling and linking",
  componentBytesMax: "size of the component binary",
  coreModulesMax: "core modules in one component, nested ones included",
  instancesMax: "core and component instances made by one instantiation",
  typeSizeMax: "leaves of one type, counted as if written out",
  typeDepthMax: "nesting of one type",
  functionBodyBytesMax: "size of one core function body",
  nestingMax: "calls host to guest to host",
}

const explanations: Readonly<Record<string, string>> = {
  // The command line's own: whatever is not a typed refusal.
  "STELE-BUG-0001": "Something failed that has no error of its own: a mistake in stele itself, not in the plugin or the command.",
  "STELE-CAP-0001": "The text is not a grant: `stele explain grants` lists the grammar.",
  "STELE-CAP-0002": "The plugin imports an interface that no capability of this host serves.",
  "STELE-CAP-0003": "The plugin asked for a capability it was not granted; everything is denied by default.",
  "STELE-CAP-0004": "The plugin tried an operation outside its grants, or its grant was revoked while it ran.",
  "STELE-CAP-0005": "The plugin declares an import with types other than those the host serves under that name.",
  "STELE-CAP-0006": "The port behind this import answers asynchronously, and a synchronous guest cannot wait for it here.",
  "STELE-CAP-0007": "The plugin asked to sleep or to wait for something that is not ready, longer than it may or where this thread cannot block.",
  "STELE-CAP-0008": "A port behind a capability has a limit on what it takes or keeps, and this request is over it.",
  "STELE-CAP-0009": "The grant names a capability that this version does not have yet.",
  "STELE-CFG-0001": "Unknown option keys are rejected, so that a misspelt limit never goes unenforced.",
  "STELE-CFG-0002": "The option has a value outside its range or of another type.",
  "STELE-CFG-0003": "The command line cannot be read as written: a misspelt command, flag or name, or something missing.",
  "STELE-PLG-0001": "The plugin itself answered with the error case of its result; the payload has the type its interface declares.",
  "STELE-PLG-0002": "The guest hit a WebAssembly trap; its instance was discarded and the next call gets a new one.",
  "STELE-PLG-0003": "The component exports no function of this name.",
  "STELE-PLG-0004": "An instance runs one synchronous call at a time; this call would have entered an instance that is already running.",
  "STELE-PLG-0005": "The AbortSignal of the call was aborted.",
  "STELE-PLG-0006": "The host or plugin was closed before this operation.",
  "STELE-PLG-0007": "The option names something this version does not have.",
  "STELE-PLG-0008": "There is no file, URL or stored digest of this name.",
  "STELE-PLG-0009": "A host function that the plugin called failed or returned a value of the wrong type; the instance was discarded.",
  "STELE-PLG-0010": "The host's admission port refused the load or the call.",
  "STELE-PLG-0011": "The guest broke the canonical ABI (a pointer, length, discriminant, handle or string that cannot be); its instance was discarded.",
  "STELE-PLG-0012": "The plugin ended its own call through `wasi:cli/exit`; its instance was discarded. Status 0 means it reported success.",
  "STELE-PLG-0013": "The file or URL is there but could not be read: a folder, missing permission, a broken connection, a scheme that is not served.",
  "STELE-POL-0001": "As many calls run as the plugin may have instances, and as many wait for one as may: the host sheds load early instead of late.",
  "STELE-POL-0002": "One replacement at a time: the second would not know which component it replaces.",
  "STELE-POL-0003":
    "An export that is in use would be gone or take other values, and its callers would find out one by one; the old component goes on serving.",
  "STELE-STO-0001": "The text names no kind of storage that this version knows.",
  "STELE-STO-0002": "The file cannot be opened as a store: no such folder, no permission, a network file system, or not a database at all.",
  "STELE-STO-0003": "The file is a SQLite database, and another program made it: nothing of it is changed.",
  "STELE-STO-0004": "A newer version has written the store in a format that this one does not know; it would damage it.",
  "STELE-STO-0005": "Every row carries a checksum, and this one's does not fit: the value is not handed out.",
  "STELE-STO-0006":
    "The mark beside the store knows of commits that the store does not have: a log was cut off, or an older copy put in its place. It can be read, not written.",
  "STELE-STO-0007": "The write was refused by the disk or the database, and nothing of it was kept.",
  "STELE-STO-0008": "The disk failed while a commit was made durable. What it holds now is known only after the store has been opened again.",
  "STELE-STO-0009": "One process writes at a time; another one has held the store for longer than a write waits.",
  "STELE-STO-0010": "The host that this store belongs to, or the store itself, was closed before this operation.",
  "STELE-STO-0011": "More writes wait than are let wait; memory is bounded, so the next is refused rather than kept waiting.",
  "STELE-STO-0040": "The batch depends on a version or an offset that somebody else has changed meanwhile; batches are kept whole or not at all.",
  "STELE-STO-0041": "Changes and log entries are kept for so long and so many; the ones asked for are gone, or the store is an older copy of itself.",
  "STELE-STO-0042": "Records are what an export gives out. This one has fields that its table could not have given, or no such table is there.",
  "STELE-STO-0012": "Objects are named by the SHA-256 of their bytes and by nothing else; no name ever becomes part of a path.",
  "STELE-STO-0013": "The bytes that are there are not those of this digest, or the catalogue names an object whose file is gone: nothing wrong is handed out.",
  "STELE-STO-0014":
    "An upload is known by its id until it is kept, given up, or older than the grace time of a collection; one that was resumed elsewhere belongs there.",
  "STELE-STO-0015": "The upload said which digest its bytes should have, and they have another: nothing of it was kept.",
  "STELE-STO-0016": "A store of objects bounds what one object, one read in memory and the uploads under way may take.",
  "STELE-STO-0017": "The S3 server answered that the key is unknown, its signature wrong, or that it may not do this.",
  "STELE-STO-0018": "The S3 server did not answer as it should, also after the retries, or knows no bucket of this name.",
  "STELE-STO-0019": "Drivers of other systems are loaded when an address asks for them, and installed by whoever needs them.",
  "STELE-STO-0050": "A job is leased for a time, under a token that rises with each lease; whoever comes with an older one has lost the job.",
  "STELE-STO-0051": "A job that is put in twice with one key is one job; with another content it is a mistake, and nothing is put in.",
  "STELE-STO-0052": "The database refused the statement of a service; the message is its own.",
  "STELE-STO-0053": "A service's SQL reaches the tables that carry its name and no others, and those are STRICT.",
  "STELE-STO-0054": "The tables of a service are behind the version that wants to use them, and nothing migrates them unasked.",
  "STELE-STO-0055": "A transaction that stays open makes others wait, so it has a time limit, and a guest that blocks its thread ends it at once.",
  "STELE-STO-0056": "Migrations that were run are known by their digest: one that was edited afterwards would leave two stores different.",
  "STELE-STO-0057": "The tables were migrated by a newer version, and this one does not know what it changed.",
  "STELE-STO-0058": "Taking this migration back would remove data, and data is removed only when that is said, with a backup made first.",
  "STELE-STO-0059": "A migration is done as a whole, with its entry in the history, or not at all; this one was not.",
  "STELE-STO-0060": "A usage record is counted once under its id; another content under the same id is kept out, and the first stays.",
  "STELE-STO-0061": "Records of that age have been removed by retention, and whether this one was among them cannot be told: it is not counted.",
  "STELE-STO-0062": "A record's time is in its id; one that is further ahead of the store's clock than it may be is not counted.",
  "STELE-STO-0063": "More calls ended than their records could be kept in memory until they were written; how many is in a record of its own.",
  "STELE-STO-0075": "A lease gives each holder a greater token, and a write under an older one than the newest is kept out, so that two never work at once.",
  "STELE-STO-0065": "A store that is moved takes no more writes, so that none is left behind; what it holds can still be read.",
  "STELE-STO-0066": "A store that is filled by a move holds part of what it will: it opens for the move alone until both sides are equal.",
  "STELE-STO-0067": "A move makes two stores equal, and would remove whatever else is in the one it fills.",
  "STELE-STO-0084":
    "Tables of services are whatever their migrations made of them, in the words of one database: a move copies what every store has, and would leave them behind.",
  "STELE-STO-0068": "A move stops writers once, for as long as the last of what changed takes to copy, and not longer than it is allowed.",
  "STELE-STO-0030":
    "The folder of the archive is not there, is full, or may not be used. A store that is archived goes on; what it commits meanwhile is copied later, or is a gap.",
  "STELE-STO-0031": "The folder holds no generation of a backup; one that holds other files is not written to.",
  "STELE-STO-0032": "One process writes to an archive at a time; a second one would begin generations that cut those of the first short.",
  "STELE-STO-0033":
    "Every object of an archive carries its digest and that of the one before it, and these do not fit: nothing that needs the object is restored.",
  "STELE-STO-0034": "An encrypted archive is read with the very key that it was written with: 32 bytes from a file or from STELE_ARCHIVE_KEY.",
  "STELE-STO-0035": "The commit or the time lies in no span of the archive: before its first generation, after its end, or in a gap.",
  "STELE-STO-0036": "A restore never overwrites a store unless it is told to, and then only one that nobody has open.",
  "STELE-STO-0037": "The restored store was checked row by row and against the digest of its commit before it got its name, and did not pass.",
  "STELE-STO-0038": "A newer version has written the archive in a format that this one does not know.",
  "STELE-STO-0039": "Parts of the store's log were gone, or not as they were written, before they could be copied.",
  "STELE-STO-0076":
    "A server is archived over its replication protocol: it must write enough into its log, have sessions and slots left for it, and let the role in for replication.",
  "STELE-STO-0077":
    "What is restored from the archive of a server is proved by a server of the same major version, which is started on it here and which nobody else can reach.",
  "STELE-STO-0078":
    "An archive holds the log of one server, known by the identifier that was made with its data folder, and one database of it is proved when it is restored.",
  "STELE-STO-0020":
    "The database server refused the login, or asked for a password where none was given. Passwords are read from the environment or a file, never from an address.",
  "STELE-STO-0021": "The server runs and has no database of this name. It is not made unasked: a misspelt name would look like an empty store.",
  "STELE-STO-0022":
    "Tenants are kept apart by the server's row-level security, which superusers, roles with BYPASSRLS, owners of the tables and the role for cross-tenant work go past. A service that could is not started.",
  "STELE-STO-0023": "The tables are not there, or an older version made them. Changing them is the owner's, and never happens unasked.",
  "STELE-STO-0024": "The command line of a process can be read by others on the machine, and ends in histories and logs.",
  "STELE-STO-0025": "The storage uses what PostgreSQL has from version 15 on.",
  "STELE-STO-0026": "Setting up a store makes a schema and two roles; the role that was given may not do that.",
  "STELE-STO-0028":
    "A transaction is bound to one tenant, so that row-level security holds whatever the code does; a batch over two would need two transactions.",
  "STELE-STO-0027":
    "Row-level security compares tenants by name: an empty one, one that is no text, or one that the host keeps for itself would be nobody's or somebody else's.",
  "STELE-STO-0069": "Not every kind of store has every table; what is not there is refused, and nothing is done in its place.",
  "STELE-STO-0070":
    "A sealed value opens only where it was put, by the key that sealed it. This one's bytes changed, came from elsewhere, or were never sealed.",
  "STELE-STO-0071":
    "The value names a key that the tenant does not have: it was destroyed, or the tenant's keys are wrapped by another master key than the one given.",
  "STELE-STO-0072": "A sealed store says which master key opens it, and the one given is another.",
  "STELE-STO-0073": "The values in the store are sealed, and no key was given: they would be read as ciphertext.",
  "STELE-STO-0074": "A master key is 32 bytes from a file or an environment variable, as they are or in hexadecimal or base64.",
  "STELE-STO-0079": "A tenant's keys were exchanged while the object was put: one sealed by a key that is about to be destroyed is not referred to.",
  "STELE-STO-0080": "Which shard an entity is in follows from how many there are: with another number two processes would serve one entity.",
  "STELE-STO-0081": "A message to an entity is kept when it is sent; its reply is waited for as long as was asked, and may come later.",
  "STELE-STO-0082": "A message that failed at every delivery is a dead letter, and nothing of it took effect; whoever waits for its reply is told.",
  "STELE-STO-0083": "The queues of entities hold messages that name an entity; something else in one cannot be delivered.",
  "STELE-STO-0085": "Each tenant's file says whose it is and is known to the folder with its newest commit; a file in another's place would be another's data.",
  "STELE-STO-0086": "An archive holds the log of one file; a folder with a file for each tenant has many logs, which end at different moments.",
  "STELE-VFY-0001": "The bytes do not start with the WebAssembly preamble.",
  "STELE-VFY-0002": "The file is a core WebAssembly module; the host loads components, which carry their types.",
  "STELE-VFY-0003": "The binary breaks the grammar or the validation rules of the component model.",
  "STELE-VFY-0004": "The component uses a feature that this host does not accept.",
  "STELE-VFY-0005": "Garbage-collected types can exhaust the host's heap and cannot be stopped or capped, so only plain function types are accepted.",
  "STELE-VFY-0006": "A memory shared between threads lets a guest build clocks and race the host's reads.",
  "STELE-VFY-0007": "Only 32-bit memories and tables are accepted: every pointer the host reads has 32 bits.",
  "STELE-VFY-0008": "A core module may have one memory: the second one is the host's stop cell.",
  "STELE-VFY-0009": "Atomic instructions serve shared memories, which are refused.",
  "STELE-VFY-0010": "Relaxed SIMD gives different results on different machines, so it cannot be metered by fuel, whose results are reproducible.",
  "STELE-VFY-0011": "Typed function references are not in the accepted set of types and instructions.",
  "STELE-VFY-0012": "Stack switching would let a guest leave the stack that is counted and stopped.",
  "STELE-VFY-0013": "Instructions are accepted by a list; one that is not in it is refused, whatever the engine thinks of it.",
  "STELE-VFY-0014": "Memory limits are counted in pages of 64 KiB.",
  "STELE-VFY-0015": "One function's locals and operands may take so much stack that few calls would exhaust it.",
  "STELE-VFY-0016": "Counts in a core module are bounded before anything is allocated for them.",
  "STELE-VFY-0017":
    "A core module is a plugin when everything it imports belongs to one ABI that this host serves; the error names the first import that does not.",
  "STELE-WIT-0001": "An argument, or a host function's return value, does not have its declared type; `path` says where.",
  "STELE-WIT-0002": "The call has too few or too many arguments.",
  "STELE-WIT-0003": "A resource handle has meaning only inside one instance, so it has no text form: JSON, WAVE and schemas of them cannot carry it.",
  "STELE-WIT-0004": "The text is not a WAVE value of the declared type; the caret stands under the first character that does not fit.",
}

/** The explanation of a code, in sentences; undefined for a code that no reason has. */
export function errorExplanation(code: string, reason: string): string | undefined {
  if (!code.startsWith("STELE-LIM-")) return explanations[code]
  const limit = limits[reason as LimitName] as (typeof limits)[LimitName] | undefined
  return limit === undefined ? undefined : `"${reason}" bounds the ${limitMeanings[reason as LimitName]} (${limit.unit}, default ${limit.default}).`
}
