/** What follows an opcode byte. Named as a namespace, so that a bundler writes the numbers. */

export const Refused = 0
export const None = 1
/** One unsigned LEB128: a local, global, table, label, function or tag index. */
export const Index = 2
/** Alignment and offset. */
export const Memory = 3
export const I32 = 4
export const I64 = 5
export const F32 = 6
export const F64 = 7
export const BlockType = 8
export const LabelTable = 9
/** Type index, then table index. */
export const CallIndirect = 10
/** A vector of value types. */
export const Types = 11
export const HeapType = 12
/** Block type, then a vector of catch clauses. */
export const TryTable = 13
/** The reserved byte of memory.size and memory.grow. */
export const MemoryIndex = 14
/** 0xFC and 0xFD: a second opcode follows. */
export const Prefix = 15
/** Sixteen bytes: v128.const, i8x16.shuffle. */
export const Bytes16 = 16
/** One lane index byte. */
export const Lane = 17
/** Alignment, offset and a lane index byte. */
export const MemoryLane = 18
/** Segment index, then memory index: memory.init. */
export const MemoryInit = 19
/** Two memory indexes: memory.copy. */
export const MemoryCopy = 20
/** Two indexes: table.init, table.copy. */
export const Index2 = 21
