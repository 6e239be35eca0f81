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
  handlesMax: "live handles of one plugin instance: resources, waitables, waitable sets and error contexts",
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
  httpResponseBytesMax: "body of one answer to an Extism plugin, decompressed; the host's own network may take less",
  varBytesMax: "variables of one instance of an Extism plugin: names, values and 48 bytes for each",
  filesMax: "files, directories and listings that one plugin instance has open",
  fileBytesMax: "size to which a plugin may make a file grow",
  residentBytesMax: "memory of the process that runs a plugin, engine included, where plugins run in processes",
  tasksMax: "tasks of one plugin instance that are not over: calls between its components, and what they left running after their answer",
  streamBytesMax: "bytes lifted out of a guest for one piece of a stream or the value of a future, with all that its elements hold",
}

const explanations: Readonly<Record<string, string>> = {
  // The command line's own: whatever is not a typed refusal.
  "STELE-BUG-0001": "Something failed that has no error of its own: a mistake in stele itself, not in the plugin or the command.",
  "STELE-ASY-0001":
    "What the guest called answers later. Only `call` of an exported function can be suspended: not `callSync`, a start function, `realloc`, `post-return` or a destructor.",
  "STELE-ASY-0002": "The option suspends the guest, which needs the engine's JavaScript promise integration (`WebAssembly.Suspending`).",
  "STELE-ASY-0003":
    "Each call that can be suspended has a stack of its own, in two mappings of the process; an engine that gets no more ends the process, so the host refuses earlier.",
  "STELE-ASY-0007":
    "The stacks of a thread are shared out: a plugin may have more as long as it and its tenant together have fewer than are free, so that nobody can take them from everybody else.",
  "STELE-ASY-0004":
    "Every task of the call waits for an event, no host function is under way, and the application holds no end of a stream: waiting on would last until the deadline.",
  "STELE-ASY-0005": "The last task of the call has ended, so nobody is left to write the stream or future whose readable end the application holds.",
  "STELE-ASY-0006":
    "The other end of a stream or future is in the plugin's own thread, where its guest is. Isolated plugins may use the asynchronous ABI among themselves, but pass no stream, future or error context in or out.",
  "STELE-AUT-0001": "Every problem of a file is told at once, each with its line and column; plugin.schema.json beside the manifest lets an editor show them.",
  "STELE-AUT-0002": "Commands of an author work on the project that the current folder is in: the nearest folder above it with a plugin.json.",
  "STELE-AUT-0003": "Each language is built by the tools that its authors have, which are the project's and not part of stele: one of them is not there.",
  "STELE-AUT-0004": "The compiler refused the source, or failed; what it said is shown as it said it.",
  "STELE-AUT-0005": "Files of a project are read whole, and each kind has a greatest size.",
  "STELE-AUT-0006": "The manifest names a file, or its language has one by custom, and it is not there.",
  "STELE-AUT-0007": "A new project is made from a template by a name that fits all six languages.",
  "STELE-AUT-0008": "A new project is made in a folder that is not there yet or is empty: nothing of an author's is overwritten.",
  "STELE-AUT-0009": "Tests are files of calls and what must come of them; a plugin without any cannot be said to work.",
  "STELE-AUT-0010": "A call answered otherwise than its test says, or left something behind: an unexpected request, a store in another state, a handle.",
  "STELE-AUT-0011": "The verdicts are what a careful reader of a plugin asks; one that fails is a reason not to install it.",
  "STELE-AUT-0012": "A component is what its world says when it exports all of it and imports nothing else.",
  "STELE-AUT-0013": "A plugin gets any value of its types: whatever it is, the answer is a result or an error that the world declares, never a trap or a stop.",
  "STELE-AUT-0014": "A benchmark makes calls that somebody wrote down: an export's first test, or what --call says. Exports without parameters need neither.",
  "STELE-AUT-0015": "A call that traps or is stopped has no time that means anything; the function's own error has.",
  "STELE-AUT-0017": "Files of tests are run once to learn which tests they have; that failed, so that none of them ran.",
  "STELE-AUT-0016":
    "Building runs the programs that a project names, and projects are found above the current folder, where other users may write: one of theirs is used when it is named.",
  "STELE-AUT-0018":
    "With --all, tests are run of every folder in the given one that has a plugin.json, and there is none. Folders further down are not looked into.",
  "STELE-GEN-0001": "A language lacks something that WIT has, or its bindings do not have it yet; nothing of a world is left out silently.",
  "STELE-GEN-0002": "Labels of WIT become names of a language, which has other rules for what is one name: two labels became the same.",
  "STELE-BIL-0001":
    "Every problem of a price list is told at once, each with its line and column where the list is JSON; what a list may say is in schemas/billing/README.md.",
  "STELE-BIL-0002": "The billing rules decide what is charged; what they refuse is said as they said it, and nothing was changed.",
  "STELE-BIL-0003": "A price list is a file, or one of those that come with the program.",
  "STELE-BIL-0004":
    "A conversion carries over all that a price of another system says, or refuses it and names the field: a price that lost something would bill another amount.",
  "STELE-BIL-0005": "What changed between two price lists is told of lists in our own format; the rules in force may read another one.",
  "STELE-BIL-0006": "Events are read one a line, and each has a name and an instant.",
  "STELE-BIL-0007":
    "Each transaction of the ledger is complete and balances by itself: what one account gains others lose, in each currency apart. One that does not is not written, nor is anything of its batch.",
  "STELE-BIL-0008":
    "A transaction has an id by which it is known when it is sent again, and is then not booked twice; the same id with another content is somebody else's transaction.",
  "STELE-BIL-0009": "The books are rows of a store that only billing writes; one of them has a form that billing never gives it.",
  "STELE-BIL-0010": "Balances are counters of the store, which have a greatest length.",
  "STELE-BIL-0011": "Balances and transactions are compared at one moment, which is found by reading them between two bookings.",
  "STELE-BIL-0012":
    "Days are those of a zone of the pinned release, whose digest an invoice names; spelling counts, and abbreviations such as CET are zones only where that release has them.",
  "STELE-BIL-0013": "A table of zones holds changes of offset up to a named year; beyond it days would be guessed.",
  "STELE-BIL-0014": "Accounts, subscriptions, price lists and invoices are known by their ids within the books of one legal entity.",
  "STELE-BIL-0015":
    "An id stands for one thing: the same content given again is the same one, another content is a mistake. A tenant's usage is one account's.",
  "STELE-BIL-0016": "What is given is checked by its schema before anything is read or written.",
  "STELE-BIL-0017": "The rules read all of a price list, and say of each mistake where it is, by JSON pointer.",
  "STELE-BIL-0018": "An event is counted once under its id; another content under the same id is kept out, and the first stays.",
  "STELE-BIL-0019":
    "An event that no meter counts would never be billed, and is most often a misspelt name. Metrics that nobody meters yet are taken all the same.",
  "STELE-BIL-0020":
    "An event is billed in the period that its time lies in: it must be within a subscription, not in the future, and in a period that is open or not closed for long.",
  "STELE-BIL-0021": "Quantities are exact decimals with the digits of their meter's unit; what has more is rounded only where the price list says so.",
  "STELE-BIL-0022": "An account may have rules of its own: a component that implements the same world, found by its digest.",
  "STELE-BIL-0023":
    "The rules run under limits as any plugin does. Where they are stopped, what they were rating is taken up again from their last snapshot, once; nothing is written until an invoice is whole.",
  "STELE-BIL-0024": "An invoice is final when it has a number. What was wrong with it is put right by a credit note.",
  "STELE-BIL-0025": "Invoices go from issued to paid, overdue or cancelled; an overdue one may still be paid, and a cancelled one is credited in full.",
  "STELE-BIL-0026": "A period is billed when it is over by the store's clock, and the usage under way at its end had time to be recorded.",
  "STELE-BIL-0027": "An account may be billed in another currency than its price list's, by a rate that is kept on the invoice.",
  "STELE-BIL-0028": "What is written rests on what was read; where others write the same rows, it is read again, a bounded number of times.",
  "STELE-BIL-0029":
    "A bundle is a tar file whose every byte is under a digest, headers and padding too; names are from a fixed list, each once, and nothing is unpacked.",
  "STELE-BIL-0030": "A bundle may be a stranger's: its size, its parts and the time of its rules are bounded before anything is read into memory.",
  "STELE-BIL-0031":
    "The usage in the bundle was rated anew by the rules in it, without clock, network or zone tables of this machine, and the result was compared to the last digit.",
  "STELE-BIL-0032":
    "A bundle holds what the invoice was rated of. What came since, what retention removed and rules that are gone cannot be told from the store.",
  "STELE-BIL-0033":
    "A charge of the price list has a bound with the policy `block`. What a call may use is promised before it runs, so that calls at the same time, on whatever nodes, never pass it together.",
  "STELE-BIL-0034": "Whoever takes payments said no. Nothing was booked.",
  "STELE-BIL-0035":
    "The provider's answer did not come, or is still to come. Each payment has one key, under which the provider does it once, however often it is asked.",
  "STELE-BIL-0036": "A refund is at most what was paid less what was given back before.",
  "STELE-BIL-0037": "What is issued is what is due when it is issued; whoever names the draft that he was shown gets that or nothing.",
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
  "STELE-CFG-0004": "The system does not let this user read or change that file or folder, or it is on a disk that is only read.",
  "STELE-CFG-0005": "The disk, or what this user may have of it, is full.",
  "STELE-FSY-0001":
    "A directory is opened when the plugin is loaded, and this one is not there, is no directory, or cannot be opened; links in it are followed only to what is in the directory that was granted.",
  "STELE-FSY-0002": "Mapping a directory gives it a name in the plugin; what may be done in it is what grants say, and none of them reaches it.",
  "STELE-FSY-0003":
    "Modules that were made safe to run and the application's own data lie in folders that no plugin may read or change, and a directory that holds one would let it.",
  "STELE-FSY-0004": "A browser has no file system of the machine: the application gives the host one in memory, or the plugin none.",
  "STELE-NET-0001":
    "A name led to an address that is not global: this machine, a private network, or a form that stands for one. What lies there is reached only by a grant that names the address.",
  "STELE-NET-0002": "The name has no address, or the name server did not say. Every request resolves its name anew and connects to what was found then.",
  "STELE-NET-0003": "No connection came about: nobody listens there, or the way there is closed.",
  "STELE-NET-0004": "The server's certificate is not for this host, has ended, or is signed by nobody who is trusted; or TLS itself failed.",
  "STELE-NET-0005": "The answer is not HTTP/1.1 as it is written down. What could be read in two ways is refused.",
  "STELE-NET-0006": "Each step of an exchange has a time of its own, and all of it has one; a call's deadline holds besides.",
  "STELE-NET-0007": "What a server sends is bounded before it is kept: headers, body, and what a compressed body becomes. So is what a plugin sends.",
  "STELE-NET-0008": "Only absolute http and https URLs without credentials are requested.",
  "STELE-NET-0009": "The name or value is not a header, or one that belongs to the connection, which the host writes itself.",
  "STELE-NET-0010": "The connection broke after it was made, before the answer was whole.",
  "STELE-ENC-0001":
    "A component exports what its world says. The core module must export a function for each of it under the name that the build conventions give it, and a memory and an allocator where values go through memory.",
  "STELE-ENC-0002": "The type of a core function follows from the function's type in the world. An export of another type was made for another world.",
  "STELE-ENC-0003":
    "The export has a name as functions of a world have one, and the world has none by that name: what it was meant to be would be left out silently.",
  "STELE-ENC-0004": "Everything that a core module imports must come from its world: a component is given nothing else.",
  "STELE-ENC-0005": "The type of a core function follows from the function's type in the world. An import of another type was made for another world.",
  "STELE-ENC-0006":
    "WASI preview 1 is an interface of core modules. The host serves it to a core module that is loaded as it is; a component would need an adapter for it.",
  "STELE-ENC-0007":
    "Asynchronous functions, streams, futures, maps, lists of fixed length and error contexts are types of WIT that this host does not carry yet.",
  "STELE-ENC-0008":
    "The component model compares types by structure and lets a record, a variant, an enum, flags or a resource be used in an import or export only under a name that the same import or export gives it.",
  "STELE-ENC-0009": "Names in components are words of letters and digits joined by dashes; those of interfaces also have a package and may have a version.",
  "STELE-ENC-0010": "The world says something that WIT cannot, such as an interface inside an interface, so that no other tool could read the component.",
  "STELE-ENC-0011": "The bytes are not a core WebAssembly module, or break the format. A component is no core module, and is a plugin as it is.",
  "STELE-EXT-0001": "Plugin and host pass each other blocks of the kernel's memory by offset; this one is the start of no block that is in use.",
  "STELE-EXT-0002": "Names of settings and variables are text; the bytes that the plugin passed are not UTF-8.",
  "STELE-EXT-0003": "The application's host function gave something that an Extism plugin cannot be handed.",
  "STELE-EXT-0004": "The manifest is not one as Extism defines it: unknown keys and values of another type are refused, so that none goes unheeded.",
  "STELE-EXT-0005": "The manifest asks for something that this host does not do; nothing of a manifest is left out silently.",
  "STELE-EXT-0006": "`http_request` takes the request as JSON with a URL, and a method and headers where they are wanted.",
  "STELE-EXT-0007":
    "The modules of a manifest are linked by their names: each takes its imports from the functions of the host and from the modules before it, and the one named main comes last.",
  "STELE-ENG-0001": "Each engine says what it enforces. What it cannot hold it to is refused when the plugin is loaded, and not left unenforced.",
  "STELE-ENG-0002": "The engine is a program of its own, and is not on this machine or does not start.",
  "STELE-ENG-0003": "An engine runs each call in a process of its own. This one was killed or crashed; the host and other calls are unharmed.",
  "STELE-NET-0011": "Only a component that exports the handler of wasi:http 0.2 can be mounted as a server.",
  "STELE-NET-0012": "The plugin ended without a response, said that it has none, or left its body unfinished; whoever asked is told nothing more.",
  "STELE-NET-0013": "Requests that are being answered at the same time are bounded; the next is refused at once instead of being kept waiting.",
  "STELE-NET-0014":
    "The system does not give this address and port to a plugin's socket: another program has it, it is none of this machine, or it takes more rights.",
  "STELE-HTP-0001": "Everything but the health checks, the documents and what is in them asks for the service's token; it is compared in constant time.",
  "STELE-HTP-0002": "The path is none of the service's.",
  "STELE-HTP-0003": "The path is one of the service's, and answers to other methods.",
  "STELE-HTP-0004": "The body is no JSON in UTF-8. Nothing is guessed from it.",
  "STELE-HTP-0005": "The request can be read, and something in it has another type than is declared; every place is listed, up to a hundred.",
  "STELE-HTP-0006": "Bodies are taken in one media type each and not compressed: what a body holds is never guessed.",
  "STELE-HTP-0007": "A body is read up to a bound, whether its length was announced or not.",
  "STELE-HTP-0008": "A body that comes slowly holds a place that others wait for, so it has to be there within a time.",
  "STELE-HTP-0009": "All headers of a request together are read up to a bound.",
  "STELE-HTP-0010": "So many requests are answered at a time; the next one is refused rather than kept waiting.",
  "STELE-HTP-0011": "Requests are counted for each token and for each address, so that one of them cannot take what is there for all.",
  "STELE-HTP-0012": "The service was told to end. It answers what it has begun, takes nothing new, and then ends.",
  "STELE-HTP-0013": "A name stands in paths, files and metrics, so it is made of characters that mean nothing in any of them.",
  "STELE-HTP-0014": "No plugin of this name is loaded; names are told apart by case.",
  "STELE-HTP-0015": "A page of another origin asked. None is let in unless its origin was named when the service was started.",
  "STELE-HTP-0016": "A page can make a browser ask any address under a name of its choice; a service is therefore asked by a name it knows.",
  "STELE-HTP-0017": "The bytes are no HTTP request, or one that two programs would read differently. The connection is closed.",
  "STELE-HTP-0018": "The service holds so many plugins at a time.",
  "STELE-HTP-0019": "Something failed that is not the request's fault. What it was is in the service's log under the incident, and nobody else's to read.",
  "STELE-HTP-0020": "The address is taken, not this machine's, or not for this user.",
  "STELE-HTP-0021": "The token is a secret of one user: a file that others can read, or that holds something else, is not used.",
  "STELE-HTP-0022": "No service answered at this URL.",
  "STELE-HTP-0023": "What answered is no Stele service, or one that says what this version does not know.",
  "STELE-ISO-0001": "The worker or process that ran the call ended in the middle of it: it crashed, or somebody killed it. Only its own call is lost.",
  "STELE-ISO-0002": "A worker or process sent bytes that are no message, or no value of the type expected. It was ended, and its call fails.",
  "STELE-ISO-0003": "A worker or process for a plugin could not be started: no permission, no program, or no memory for it.",
  "STELE-ISO-0004": "A plugin in a worker or process answers later, always: there is nothing to return at once.",
  "STELE-ISO-0005": "A worker or process failed in a way that has no error of its own: a mistake in stele itself, not in the plugin.",
  "STELE-ISO-0006": "This platform has no threads, shared memory or processes to isolate plugins in.",
  "STELE-ISO-0007": "A core module of a foreign ABI used a port that is not carried to isolates: its functions run where its memory is.",
  "STELE-ISO-0008":
    "A process of a plugin used its processor for seconds while no call ran in it: a guest that has taken over its engine does that. It was ended; the host's observer is told.",
  "STELE-COM-0001":
    "Two plugins that call each other have no first one: nothing bounds how they enter each other but the limit on nested calls. The old component goes on serving.",
  "STELE-COM-0002": "A linked plugin serves an import by the interface of the same name that it exports, in a version that semver calls compatible.",
  "STELE-COM-0003": "The caller and the linked plugin declare a function differently: values of one would be read as those of the other.",
  "STELE-COM-0004": "What a handle stands for lives in one instance of one plugin, and ends with it; between plugins only values pass.",
  "STELE-COM-0005":
    "A plugin that this one is linked to failed: it trapped, exited, reached one of its own limits, was denied something or was closed. Its own record says more; the caller cannot go on.",
  "STELE-COM-0006": "A plugin that this one is linked to has no instance free, or refuses work for now; the caller cannot go on without it.",
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
  "STELE-POL-0004": "A snapshot repeats memory, globals and tables; the plugin keeps something else, or asked the host while it was initialised.",
  "STELE-RPL-0001": "Configuration puts components in the place of first-party plugins by their names: stele doctor lists them.",
  "STELE-RPL-0002":
    "A component stands in the place of a first-party plugin when it exports what the plugin's world exports, with equal types, and imports nothing else. Its WIT is shipped as stele/plugins/NAME.wit.",
  "STELE-RPL-0003":
    "A component stands in the place of a first-party plugin when the host loads it under the plugin's own limits and grants. This one it refused.",
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
  "STELE-VFY-0018": "The load names the digest that the bytes must have (`digest`, or `hash` in an Extism manifest), and these have another.",
  "STELE-WIT-0001": "An argument, or a host function's return value, does not have its declared type; `path` says where.",
  "STELE-WIT-0002": "The call has too few or too many arguments.",
  "STELE-WIT-0003": "A resource handle has meaning only inside one instance, so it has no text form: JSON, WAVE and schemas of them cannot carry it.",
  "STELE-WIT-0004": "The text is not a WAVE value of the declared type; the caret stands under the first character that does not fit.",
  "STELE-WIT-0005":
    "WIT is read by people: control characters, ones that turn the direction of text and ones that Unicode deprecates are refused wherever they stand.",
  "STELE-WIT-0006":
    "The text is not WIT; the caret stands under the first token that does not fit. Reading goes on at the next item, so that one run lists more than one mistake.",
  "STELE-WIT-0007": "Names are kebab-case labels, since each language makes its own names of them. A keyword is a name with a % before it.",
  "STELE-WIT-0008": "Names of one scope differ in more than case and dashes: in some language they become the same name.",
  "STELE-WIT-0009": "The name is not declared where it is looked for: in this file, in its package, or in a package among its dependencies.",
  "STELE-WIT-0010": "Types, interfaces, worlds and packages are made one after the other. A circle has no first one.",
  "STELE-WIT-0011":
    "The type can be written down and means nothing that crosses a boundary: a borrowed handle is only lent for a call, a stream has elements of a known size.",
  "STELE-WIT-0012":
    "Gates say since which version of the package an item is there, or which feature it waits for; they must make sense together, and for that version.",
  "STELE-WIT-0013":
    "A world's imports and exports do not fit together: an interface would be needed as an import and as an export at once, or a name means two things.",
  "STELE-WIT-0014": "The files of one folder are one package, and one of them says which.",
  "STELE-WIT-0015":
    "What is read, how deep a type is and how much a world becomes when everything is written out are bounded, since the text may be a stranger's.",
  "STELE-WIT-0017": "There is no file or folder of this name, or nothing in it that ends in .wit.",
  "STELE-WIT-0018": "More than one thing is wrong; each is listed with its own code and place.",
  "STELE-WIT-0016": "Bindings are made for one world. It is the only one of the package, or one that is named.",
}

/** The explanation of a code, in sentences; undefined for a code that no reason has. */
export function errorExplanation(code: string, reason: string): string | undefined {
  if (!code.startsWith("STELE-LIM-")) return explanations[code]
  const limit = limits[reason as LimitName] as (typeof limits)[LimitName] | undefined
  return limit === undefined ? undefined : `"${reason}" bounds the ${limitMeanings[reason as LimitName]} (${limit.unit}, default ${limit.default}).`
}
