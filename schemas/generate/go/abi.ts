/** The fixed part of bindings for Go: how each type crosses, in values that the generated part puts together for the world's own. */
export const abiText = (head: string): string => `${head}
package main

import (
	"math"
	"unsafe"
)

// Unit is nothing.
type Unit struct{}

// Result is Ok, or Err where IsErr.
type Result[A, E any] struct {
	IsErr bool
	Ok    A
	Err   E
}

func Ok[A, E any](value A) Result[A, E]  { return Result[A, E]{Ok: value} }
func Err[A, E any](reason E) Result[A, E] { return Result[A, E]{IsErr: true, Err: reason} }

// Some is an option that has a value; nil is one that has none.
func Some[A any](value A) *A { return &value }

type Tuple1[A any] struct {
	F0 A
}

type Tuple2[A, B any] struct {
	F0 A
	F1 B
}

type Tuple3[A, B, C any] struct {
	F0 A
	F1 B
	F2 C
}

type Tuple4[A, B, C, D any] struct {
	F0 A
	F1 B
	F2 C
	F3 D
}

type Tuple5[A, B, C, D, E any] struct {
	F0 A
	F1 B
	F2 C
	F3 D
	F4 E
}

type Tuple6[A, B, C, D, E, F any] struct {
	F0 A
	F1 B
	F2 C
	F3 D
	F4 E
	F5 F
}

type Tuple7[A, B, C, D, E, F, G any] struct {
	F0 A
	F1 B
	F2 C
	F3 D
	F4 E
	F5 F
	F6 G
}

type Tuple8[A, B, C, D, E, F, G, H any] struct {
	F0 A
	F1 B
	F2 C
	F3 D
	F4 E
	F5 F
	F6 G
	F7 H
}

// ── Memory ──────────────────────────────────────────────────────────────────

// What the host reads or has written in this call. The collector does not move it, and frees it when it is no longer here.
var kept []any

func mark() int { return len(kept) }
func reset(mark int) {
	clear(kept[mark:])
	kept = kept[:mark]
}

// block is memory for values in the layout of the component model, aligned to 8.
func block(size uint32) unsafe.Pointer {
	if size == 0 {
		size = 1
	}
	words := make([]uint64, (size+7)/8)
	kept = append(kept, words)
	return unsafe.Pointer(unsafe.SliceData(words))
}

func address(at unsafe.Pointer) uint32 { return uint32(uintptr(at)) }

//go:nocheckptr
func pointer(at uint32) unsafe.Pointer { return unsafe.Pointer(uintptr(at)) }

// By this the host allocates arguments, and results of imports.
//
//go:wasmexport cabi_realloc
func realloc(old, oldSize, align, newSize uint32) uint32 {
	if newSize == 0 {
		return align
	}
	made := block(newSize)
	if oldSize > 0 {
		copy(unsafe.Slice((*byte)(made), newSize), unsafe.Slice((*byte)(pointer(old)), min(oldSize, newSize)))
	}
	return address(made)
}

// ── Handles ─────────────────────────────────────────────────────────────────

func take(handle *uint32) uint32 {
	taken := *handle
	*handle = 0
	return taken
}

type dropper interface{ Drop() }

// Handles that were lent for this call, which ends them.
var borrowed []dropper

func lent[A dropper](handle A) A {
	borrowed = append(borrowed, handle)
	return handle
}
func endLent() {
	for _, handle := range borrowed {
		handle.Drop()
	}
	borrowed = borrowed[:0]
}

// objects are what the plugin implements, by numbers that the host keeps.
type objects[A comparable] struct {
	all  map[uint32]A
	last uint32
}

func (o *objects[A]) add(value A) uint32 {
	if o.all == nil {
		o.all = map[uint32]A{}
	}
	o.last++
	o.all[o.last] = value
	return o.last
}
func (o *objects[A]) get(rep uint32) A { return o.all[rep] }
func (o *objects[A]) remove(rep uint32) {
	if value, ok := any(o.all[rep]).(interface{ Dispose() }); ok {
		value.Dispose()
	}
	delete(o.all, rep)
}

// ── Flat values ─────────────────────────────────────────────────────────────

// flats are parameters of a core function, 16 at most, each as its bits: what stands in one slot for values of several types
// has the bits of the one that is meant.
type flats struct {
	slots [17]uint64
	at    int
}

func flatsOf(bits ...uint64) (f flats) {
	copy(f.slots[:], bits)
	return
}
func (f *flats) push(bits uint64) {
	f.slots[f.at] = bits
	f.at++
}
func (f *flats) next() uint64 {
	f.at++
	return f.slots[f.at-1]
}
func (f *flats) i32(i int) uint32  { return uint32(f.slots[i]) }
func (f *flats) i64(i int) uint64  { return f.slots[i] }
func (f *flats) f32(i int) float32 { return math.Float32frombits(uint32(f.slots[i])) }
func (f *flats) f64(i int) float64 { return math.Float64frombits(f.slots[i]) }
func bits32(v float32) uint64      { return uint64(math.Float32bits(v)) }
func bits64(v float64) uint64      { return math.Float64bits(v) }

// ── How types cross ─────────────────────────────────────────────────────────

type abi[A any] struct {
	size, align uint32
	flats       int
	// Lies in a list as in Go, and every pattern of bits is a value.
	plain bool
	load  func(at unsafe.Pointer) A
	store func(at unsafe.Pointer, value A)
	lift  func(f *flats) A
	lower func(f *flats, value A)
}

// abiNumber is of numbers as they lie in memory; size is that of the component model, which is Go's.
func abiNumber[A ~uint8 | ~int8 | ~uint16 | ~int16 | ~uint32 | ~int32 | ~uint64 | ~int64](size uint32) *abi[A] {
	return &abi[A]{size: size, align: size, flats: 1, plain: true,
		load:  func(at unsafe.Pointer) A { return *(*A)(at) },
		store: func(at unsafe.Pointer, v A) { *(*A)(at) = v },
		lift:  func(f *flats) A { return A(f.next()) },
		lower: func(f *flats, v A) {
			if size < 8 {
				f.push(uint64(uint32(v)))
			} else {
				f.push(uint64(v))
			}
		},
	}
}

var (
	abiU8   = abiNumber[uint8](1)
	abiS8   = abiNumber[int8](1)
	abiU16  = abiNumber[uint16](2)
	abiS16  = abiNumber[int16](2)
	abiU32  = abiNumber[uint32](4)
	abiS32  = abiNumber[int32](4)
	abiChar = abiNumber[rune](4)
	abiU64  = abiNumber[uint64](8)
	abiS64  = abiNumber[int64](8)
	abiF32  = &abi[float32]{size: 4, align: 4, flats: 1, plain: true,
		load:  func(at unsafe.Pointer) float32 { return *(*float32)(at) },
		store: func(at unsafe.Pointer, v float32) { *(*float32)(at) = v },
		lift:  func(f *flats) float32 { return math.Float32frombits(uint32(f.next())) },
		lower: func(f *flats, v float32) { f.push(bits32(v)) },
	}
	abiF64 = &abi[float64]{size: 8, align: 8, flats: 1, plain: true,
		load:  func(at unsafe.Pointer) float64 { return *(*float64)(at) },
		store: func(at unsafe.Pointer, v float64) { *(*float64)(at) = v },
		lift:  func(f *flats) float64 { return math.Float64frombits(f.next()) },
		lower: func(f *flats, v float64) { f.push(bits64(v)) },
	}
	abiBool = &abi[bool]{size: 1, align: 1, flats: 1,
		load:  func(at unsafe.Pointer) bool { return *(*uint8)(at) != 0 },
		store: func(at unsafe.Pointer, v bool) { *(*uint8)(at) = uint8(bit(v)) },
		lift:  func(f *flats) bool { return f.next() != 0 },
		lower: func(f *flats, v bool) { f.push(bit(v)) },
	}
	abiUnit = &abi[Unit]{align: 1,
		load:  func(unsafe.Pointer) (v Unit) { return },
		store: func(unsafe.Pointer, Unit) {},
		lift:  func(*flats) (v Unit) { return },
		lower: func(*flats, Unit) {},
	}
	abiString = abiPair(func(at unsafe.Pointer, len uint32) string {
		return string(unsafe.Slice((*byte)(at), len))
	}, func(v string) (unsafe.Pointer, int) {
		// Kept, it is in the heap, where it does not move.
		kept = append(kept, v)
		return unsafe.Pointer(unsafe.StringData(v)), len(v)
	})
)

func bit(is bool) uint64 {
	if is {
		return 1
	}
	return 0
}

// abiPair is of what goes by address and length.
func abiPair[A any](make func(at unsafe.Pointer, len uint32) A, give func(A) (unsafe.Pointer, int)) *abi[A] {
	of := func(at, len uint32) (v A) {
		if len > 0 {
			v = make(pointer(at), len)
		}
		return
	}
	return &abi[A]{size: 8, align: 4, flats: 2,
		load: func(at unsafe.Pointer) A {
			pair := *(*[2]uint32)(at)
			return of(pair[0], pair[1])
		},
		store: func(at unsafe.Pointer, v A) {
			from, len := give(v)
			*(*[2]uint32)(at) = [2]uint32{address(from), uint32(len)}
		},
		lift: func(f *flats) A {
			at := uint32(f.next())
			return of(at, uint32(f.next()))
		},
		lower: func(f *flats, v A) {
			from, len := give(v)
			f.push(uint64(address(from)))
			f.push(uint64(len))
		},
	}
}

func abiList[A any](element *abi[A]) *abi[[]A] {
	return abiPair(func(at unsafe.Pointer, len uint32) []A {
		list := make([]A, len)
		if element.plain {
			copy(list, unsafe.Slice((*A)(at), len))
			return list
		}
		for i := range list {
			list[i] = element.load(unsafe.Add(at, uint32(i)*element.size))
		}
		return list
	}, func(v []A) (unsafe.Pointer, int) {
		if element.plain {
			kept = append(kept, v)
			return unsafe.Pointer(unsafe.SliceData(v)), len(v)
		}
		at := block(uint32(len(v)) * element.size)
		for i, one := range v {
			element.store(unsafe.Add(at, uint32(i)*element.size), one)
		}
		return at, len(v)
	})
}

func up(at, align uint32) uint32 { return (at + align - 1) / align * align }

func abiOption[A any](some *abi[A]) *abi[*A] {
	return &abi[*A]{size: up(some.align+some.size, some.align), align: some.align, flats: 1 + some.flats,
		load: func(at unsafe.Pointer) *A {
			if *(*uint8)(at) == 0 {
				return nil
			}
			return Some(some.load(unsafe.Add(at, some.align)))
		},
		store: func(at unsafe.Pointer, v *A) {
			*(*uint8)(at) = uint8(bit(v != nil))
			if v != nil {
				some.store(unsafe.Add(at, some.align), *v)
			}
		},
		lift: func(f *flats) (v *A) {
			end := f.at + 1 + some.flats
			if f.next() != 0 {
				v = Some(some.lift(f))
			}
			f.at = end
			return
		},
		lower: func(f *flats, v *A) {
			end := f.at + 1 + some.flats
			f.push(bit(v != nil))
			if v != nil {
				some.lower(f, *v)
			}
			f.at = end
		},
	}
}

func abiResult[A, E any](ok *abi[A], err *abi[E]) *abi[Result[A, E]] {
	align := max(ok.align, err.align)
	count := 1 + max(ok.flats, err.flats)
	return &abi[Result[A, E]]{size: up(align+max(ok.size, err.size), align), align: align, flats: count,
		load: func(at unsafe.Pointer) (v Result[A, E]) {
			if v.IsErr = *(*uint8)(at) != 0; v.IsErr {
				v.Err = err.load(unsafe.Add(at, align))
			} else {
				v.Ok = ok.load(unsafe.Add(at, align))
			}
			return
		},
		store: func(at unsafe.Pointer, v Result[A, E]) {
			*(*uint8)(at) = uint8(bit(v.IsErr))
			if v.IsErr {
				err.store(unsafe.Add(at, align), v.Err)
			} else {
				ok.store(unsafe.Add(at, align), v.Ok)
			}
		},
		lift: func(f *flats) (v Result[A, E]) {
			end := f.at + count
			if v.IsErr = f.next() != 0; v.IsErr {
				v.Err = err.lift(f)
			} else {
				v.Ok = ok.lift(f)
			}
			f.at = end
			return
		},
		lower: func(f *flats, v Result[A, E]) {
			end := f.at + count
			f.push(bit(v.IsErr))
			if v.IsErr {
				err.lower(f, v.Err)
			} else {
				ok.lower(f, v.Ok)
			}
			f.at = end
		},
	}
}

func abiHandle[A any](lift func(uint32) A, lower func(A) uint32) *abi[A] {
	return &abi[A]{size: 4, align: 4, flats: 1,
		load:  func(at unsafe.Pointer) A { return lift(*(*uint32)(at)) },
		store: func(at unsafe.Pointer, v A) { *(*uint32)(at) = lower(v) },
		lift:  func(f *flats) A { return lift(uint32(f.next())) },
		lower: func(f *flats, v A) { f.push(uint64(lower(v))) },
	}
}
`
