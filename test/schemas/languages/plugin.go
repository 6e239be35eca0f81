// Implements `../assemblyscript/world.wit` for `generate-languages.test.ts`: every type goes in and comes out.
package main

import "fmt"

func main() {}

func ApiEcho(s ApiShape, p ApiPoint, l ApiLevel, f ApiPerms) Tuple4[ApiShape, ApiPoint, ApiLevel, ApiPerms] {
	return Tuple4[ApiShape, ApiPoint, ApiLevel, ApiPerms]{s, p, l, f}
}

func ApiMany(a uint8, b int16, c uint64, d float32, e float64, f rune, g bool, h string, i []string, j []float64, k **string, l Result[uint8, string],
	m Result[Unit, Unit], n Tuple2[uint8, string]) []Tuple2[string, uint32] {
	out := []Tuple2[string, uint32]{{h, uint32(len(i))}}
	for at, one := range i {
		out = append(out, Tuple2[string, uint32]{one, uint32(at)})
	}
	line := fmt.Sprint(a, " ", b, " ", c, " ", d, " ", e, " ", f, " ", g, " ", len(j), " ", k != nil, " ", !l.IsErr, " ", !m.IsErr, " ", n.F0, " ", n.F1)
	first := uint32(0)
	if len(j) > 0 {
		first = uint32(j[0])
	}
	return append(out, Tuple2[string, uint32]{line, first})
}

func ApiRes(x Result[[]uint64, StoreError]) Result[*uint32, StoreError] {
	if x.IsErr {
		return Err[*uint32](x.Err)
	}
	if len(x.Ok) == 0 {
		return Ok[*uint32, StoreError](nil)
	}
	return Ok[*uint32, StoreError](Some(uint32(x.Ok[0])))
}

func ApiLend(b *StoreBucket, key string) *[]uint8 {
	found := b.Get(key)
	if found.IsErr {
		return nil
	}
	return found.Ok
}

func ApiFlat(a *float32, b ApiVariantX) ApiVariantX {
	if a != nil {
		return ApiVariantX{Tag: ApiVariantXA, A: *a}
	}
	return b
}

type ApiCounter struct{ n uint32 }

func NewApiCounter(start uint32) *ApiCounter { return &ApiCounter{start} }
func (c *ApiCounter) Increment(by uint32) uint32 {
	c.n += by
	return c.n
}
func ApiCounterMerge(a *ApiCounterHandle, b *ApiCounter) *ApiCounterHandle {
	defer a.Drop()
	return ApiCounterHandleOf(&ApiCounter{a.Value().n + b.n})
}

func WorldRun() string {
	WorldNote("running")
	b := NewStoreBucket("x")
	b.Set("k", []uint8{1, 2, 3})
	c := StoreBucketOpen("y").Ok
	defer c.Drop()
	return fmt.Sprint("ran ", StoreMerge(b, c, []string{"p", "q"}))
}
