/** The fixed part of bindings for Rust: how each type crosses, in traits that the generated part implements for the world's own. */
export const abiText = (head: string): string => `//! ${head}
//! How values of WIT cross the boundary of a component (CanonicalABI.md). Needs no \`std\`.
#![allow(dead_code)]
extern crate alloc;
use alloc::alloc::{alloc, dealloc, realloc, Layout};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::any::Any;
pub use core::cell::Cell;
use core::ops::Deref;
use core::ptr::addr_of_mut;

/// What no host does: an index of no case.
#[cold]
pub fn impossible() -> ! {
    core::arch::wasm32::unreachable()
}

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).unwrap_or_else(|_| impossible())
}
const fn up(at: usize, align: usize) -> usize {
    (at + align - 1) / align * align
}
const fn larger(a: usize, b: usize) -> usize {
    if a > b { a } else { b }
}

/// By this the host allocates arguments, and results of imports; whoever lifts a block owns it.
#[export_name = "cabi_realloc"]
unsafe extern "C" fn cabi_realloc(old: *mut u8, old_size: usize, align: usize, new_size: usize) -> *mut u8 {
    if new_size == 0 {
        return align as *mut u8;
    }
    let made = if old_size == 0 { alloc(layout(new_size, align)) } else { realloc(old, layout(old_size, align), new_size) };
    if made.is_null() { impossible() } else { made }
}
pub unsafe fn free(at: *mut u8, size: usize, align: usize) {
    if size > 0 {
        dealloc(at, layout(size, align))
    }
}

/// Memory of one call: freed when it is dropped.
pub struct Blocks(Vec<(*mut u8, Layout)>);
impl Blocks {
    pub fn new() -> Self {
        Blocks(Vec::new())
    }
    pub fn alloc(&mut self, size: usize, align: usize) -> *mut u8 {
        if size == 0 {
            return align as *mut u8;
        }
        let layout = layout(size, align);
        let at = unsafe { alloc(layout) };
        if at.is_null() {
            impossible()
        }
        self.0.push((at, layout));
        at
    }
}
impl Drop for Blocks {
    fn drop(&mut self) {
        for (at, layout) in self.0.drain(..) {
            unsafe { dealloc(at, layout) }
        }
    }
}

/// The result that the host is reading, and its blocks.
static mut HELD: Option<(Box<dyn Any>, Blocks)> = None;
pub unsafe fn hold<T: Lower + 'static>(result: T) -> i32 {
    let mut blocks = Blocks::new();
    let area = blocks.alloc(T::SIZE, T::ALIGN);
    let kept = Box::new(result);
    kept.store(area, &mut blocks);
    *addr_of_mut!(HELD) = Some((kept, blocks));
    area as i32
}
pub unsafe fn release() {
    *addr_of_mut!(HELD) = None
}

/// A core value as 64 bits: what stands in one slot for values of several types has the bits of the one that is meant.
pub trait Flat {
    fn bits(self) -> u64;
}
impl Flat for i32 {
    fn bits(self) -> u64 {
        self as u32 as u64
    }
}
impl Flat for i64 {
    fn bits(self) -> u64 {
        self as u64
    }
}
impl Flat for f32 {
    fn bits(self) -> u64 {
        self.to_bits() as u64
    }
}
impl Flat for f64 {
    fn bits(self) -> u64 {
        self.to_bits()
    }
}
/// Parameters of a core function, 16 at most, one after the other.
pub struct Flats {
    slots: [u64; 17],
    at: usize,
}
impl Flats {
    pub fn new() -> Self {
        Flats { slots: [0; 17], at: 0 }
    }
    pub fn of(bits: &[u64]) -> Self {
        let mut flats = Self::new();
        flats.slots[..bits.len()].copy_from_slice(bits);
        flats
    }
    pub fn push(&mut self, bits: u64) {
        self.slots[self.at] = bits;
        self.at += 1;
    }
    pub fn next(&mut self) -> u64 {
        self.at += 1;
        self.slots[self.at - 1]
    }
    /// Where a value of so many slots ends, whichever case it is, and going there.
    pub fn end(&self, count: usize) -> usize {
        self.at + count
    }
    pub fn go(&mut self, end: usize) {
        self.at = end
    }
    pub fn i32(&self, i: usize) -> i32 {
        self.slots[i] as i32
    }
    pub fn i64(&self, i: usize) -> i64 {
        self.slots[i] as i64
    }
    pub fn f32(&self, i: usize) -> f32 {
        f32::from_bits(self.slots[i] as u32)
    }
    pub fn f64(&self, i: usize) -> f64 {
        f64::from_bits(self.slots[i])
    }
}

/// A type whose values go to the host. What they point to is their own, or in \`blocks\`.
pub trait Lower {
    const SIZE: usize;
    const ALIGN: usize;
    const FLATS: usize;
    /// Lies in a list as in Rust, and every pattern of bits is a value.
    const PLAIN: bool = false;
    unsafe fn store(&self, at: *mut u8, blocks: &mut Blocks);
    fn lower(&self, flats: &mut Flats, blocks: &mut Blocks);
}
/// A type whose values come from the host. Takes the blocks that they are in.
pub trait Lift: Lower + Sized {
    unsafe fn load(at: *const u8) -> Self;
    unsafe fn lift(flats: &mut Flats) -> Self;
}

macro_rules! scalar {
    ($type:ty, $size:literal, $plain:literal, $memory:ty, |$value:ident| $to:expr, |$bits:ident| $from:expr) => {
        impl Lower for $type {
            const SIZE: usize = $size;
            const ALIGN: usize = $size;
            const FLATS: usize = 1;
            const PLAIN: bool = $plain;
            unsafe fn store(&self, at: *mut u8, _: &mut Blocks) {
                let $value = *self;
                *(at as *mut $memory) = ($to) as $memory
            }
            fn lower(&self, flats: &mut Flats, _: &mut Blocks) {
                let $value = *self;
                flats.push($to)
            }
        }
        impl Lift for $type {
            unsafe fn load(at: *const u8) -> Self {
                let $bits = *(at as *const $memory) as u64;
                $from
            }
            unsafe fn lift(flats: &mut Flats) -> Self {
                let $bits = flats.next();
                $from
            }
        }
    };
}
scalar!(bool, 1, false, u8, |v| v as u64, |b| b != 0);
scalar!(u8, 1, true, u8, |v| v as u64, |b| b as u8);
scalar!(i8, 1, true, u8, |v| v as i32 as u32 as u64, |b| b as i8);
scalar!(u16, 2, true, u16, |v| v as u64, |b| b as u16);
scalar!(i16, 2, true, u16, |v| v as i32 as u32 as u64, |b| b as i16);
scalar!(u32, 4, true, u32, |v| v as u64, |b| b as u32);
scalar!(i32, 4, true, u32, |v| v as u32 as u64, |b| b as i32);
scalar!(u64, 8, true, u64, |v| v, |b| b);
scalar!(i64, 8, true, u64, |v| v as u64, |b| b as i64);
scalar!(f32, 4, true, u32, |v| v.to_bits() as u64, |b| f32::from_bits(b as u32));
scalar!(f64, 8, true, u64, |v| v.to_bits(), |b| f64::from_bits(b));
scalar!(char, 4, false, u32, |v| v as u32 as u64, |b| core::char::from_u32(b as u32).unwrap_or_else(|| impossible()));

fn block_of<T: Lower>(list: &[T], blocks: &mut Blocks) -> u32 {
    if T::PLAIN {
        return list.as_ptr() as u32;
    }
    let block = blocks.alloc(list.len() * T::SIZE, T::ALIGN);
    for (i, one) in list.iter().enumerate() {
        unsafe { one.store(block.add(i * T::SIZE), blocks) }
    }
    block as u32
}
unsafe fn list_of<T: Lift>(at: u32, len: usize) -> Vec<T> {
    if len == 0 {
        return Vec::new();
    }
    if T::PLAIN {
        return Vec::from_raw_parts(at as *mut T, len, len);
    }
    let list = (0..len).map(|i| T::load((at as *const u8).add(i * T::SIZE))).collect();
    free(at as *mut u8, len * T::SIZE, T::ALIGN);
    list
}
macro_rules! pair {
    ($type:ty, [$($generic:tt)*], |$value:ident, $blocks:ident| $ptr:expr) => {
        impl<$($generic)*> Lower for $type {
            const SIZE: usize = 8;
            const ALIGN: usize = 4;
            const FLATS: usize = 2;
            unsafe fn store(&self, at: *mut u8, $blocks: &mut Blocks) {
                let $value = self;
                *(at as *mut [u32; 2]) = [$ptr, self.len() as u32]
            }
            fn lower(&self, flats: &mut Flats, $blocks: &mut Blocks) {
                let $value = self;
                flats.push($ptr as u64);
                flats.push(self.len() as u64)
            }
        }
    };
}
pair!(str, [], |v, _b| v.as_ptr() as u32);
pair!(String, [], |v, _b| v.as_ptr() as u32);
pair!([T], [T: Lower], |v, b| block_of(v, b));
pair!(Vec<T>, [T: Lower], |v, b| block_of(v, b));
impl Lift for String {
    unsafe fn load(at: *const u8) -> Self {
        String::from_utf8_unchecked(Vec::load(at))
    }
    unsafe fn lift(flats: &mut Flats) -> Self {
        String::from_utf8_unchecked(Vec::lift(flats))
    }
}
impl<T: Lift> Lift for Vec<T> {
    unsafe fn load(at: *const u8) -> Self {
        let [at, len] = *(at as *const [u32; 2]);
        list_of(at, len as usize)
    }
    unsafe fn lift(flats: &mut Flats) -> Self {
        let at = flats.next() as u32;
        list_of(at, flats.next() as usize)
    }
}

impl<A: Lower, E: Lower> Lower for Result<A, E> {
    const ALIGN: usize = larger(A::ALIGN, E::ALIGN);
    const SIZE: usize = up(Self::ALIGN + larger(A::SIZE, E::SIZE), Self::ALIGN);
    const FLATS: usize = 1 + larger(A::FLATS, E::FLATS);
    unsafe fn store(&self, at: *mut u8, blocks: &mut Blocks) {
        *at = self.is_err() as u8;
        match self {
            Ok(value) => value.store(at.add(Self::ALIGN), blocks),
            Err(error) => error.store(at.add(Self::ALIGN), blocks),
        }
    }
    fn lower(&self, flats: &mut Flats, blocks: &mut Blocks) {
        let end = flats.end(Self::FLATS);
        flats.push(self.is_err() as u64);
        match self {
            Ok(value) => value.lower(flats, blocks),
            Err(error) => error.lower(flats, blocks),
        }
        flats.go(end)
    }
}
impl<A: Lift, E: Lift> Lift for Result<A, E> {
    unsafe fn load(at: *const u8) -> Self {
        if *at == 0 { Ok(A::load(at.add(Self::ALIGN))) } else { Err(E::load(at.add(Self::ALIGN))) }
    }
    unsafe fn lift(flats: &mut Flats) -> Self {
        let end = flats.end(Self::FLATS);
        let result = if flats.next() == 0 { Ok(A::lift(flats)) } else { Err(E::lift(flats)) };
        flats.go(end);
        result
    }
}
impl<T: Lower> Lower for Option<T> {
    const ALIGN: usize = T::ALIGN;
    const SIZE: usize = up(T::ALIGN + T::SIZE, T::ALIGN);
    const FLATS: usize = 1 + T::FLATS;
    unsafe fn store(&self, at: *mut u8, blocks: &mut Blocks) {
        *at = self.is_some() as u8;
        if let Some(value) = self {
            value.store(at.add(T::ALIGN), blocks)
        }
    }
    fn lower(&self, flats: &mut Flats, blocks: &mut Blocks) {
        let end = flats.end(Self::FLATS);
        flats.push(self.is_some() as u64);
        if let Some(value) = self {
            value.lower(flats, blocks)
        }
        flats.go(end)
    }
}
impl<T: Lift> Lift for Option<T> {
    unsafe fn load(at: *const u8) -> Self {
        if *at == 0 { None } else { Some(T::load(at.add(T::ALIGN))) }
    }
    unsafe fn lift(flats: &mut Flats) -> Self {
        let end = flats.end(Self::FLATS);
        let option = if flats.next() == 0 { None } else { Some(T::lift(flats)) };
        flats.go(end);
        option
    }
}

macro_rules! tuple {
    ($($type:ident $i:tt),*) => {
        #[allow(unused_mut, unused_assignments, unused_variables)]
        impl<$($type: Lower),*> Lower for ($($type,)*) {
            const ALIGN: usize = { let mut align = 1; $(align = larger(align, $type::ALIGN);)* align };
            const SIZE: usize = { let mut size = 0; $(size = up(size, $type::ALIGN) + $type::SIZE;)* up(size, Self::ALIGN) };
            const FLATS: usize = 0 $(+ $type::FLATS)*;
            unsafe fn store(&self, at: *mut u8, blocks: &mut Blocks) {
                let mut offset = 0;
                $(offset = up(offset, $type::ALIGN); self.$i.store(at.add(offset), blocks); offset += $type::SIZE;)*
            }
            fn lower(&self, flats: &mut Flats, blocks: &mut Blocks) {
                $(self.$i.lower(flats, blocks);)*
            }
        }
        #[allow(unused_mut, unused_assignments, unused_variables, clippy::unused_unit)]
        impl<$($type: Lift),*> Lift for ($($type,)*) {
            unsafe fn load(at: *const u8) -> Self {
                let mut offset = 0;
                ($({ offset = up(offset, $type::ALIGN); let part = $type::load(at.add(offset)); offset += $type::SIZE; part },)*)
            }
            unsafe fn lift(flats: &mut Flats) -> Self {
                ($($type::lift(flats),)*)
            }
        }
    };
}
tuple!();
tuple!(A 0);
tuple!(A 0, B 1);
tuple!(A 0, B 1, C 2);
tuple!(A 0, B 1, C 2, D 3);
tuple!(A 0, B 1, C 2, D 3, E 4);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11);

/// What owns a handle. Passed on it is the host's: nothing is given back then.
pub trait Handle: Sized {
    fn own(handle: i32) -> Self;
    fn cell(&self) -> &Cell<i32>;
    fn give_back(handle: i32);
}
/// A handle that is lent for a call, and the thing that it is of.
#[derive(Debug)]
pub struct Lent<T: Handle> {
    thing: T,
    /// Borrowed from the host: given back at the end. Otherwise one of ours, which its owner gives back.
    is_borrowed: bool,
}
impl<T: Handle> Lent<T> {
    pub fn of(thing: &T) -> Self {
        Lent { thing: T::own(thing.cell().get()), is_borrowed: false }
    }
}
impl<T: Handle> Drop for Lent<T> {
    fn drop(&mut self) {
        if !self.is_borrowed {
            self.thing.cell().set(0)
        }
    }
}
impl<T: Handle> Deref for Lent<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.thing
    }
}
macro_rules! crossing {
    ($type:ty, [$($generic:tt)*], |$out:ident| $give:expr, |$in:ident| $take:expr) => {
        impl<$($generic)*> Lower for $type {
            const SIZE: usize = 4;
            const ALIGN: usize = 4;
            const FLATS: usize = 1;
            unsafe fn store(&self, at: *mut u8, _: &mut Blocks) {
                let $out = self;
                *(at as *mut i32) = $give
            }
            fn lower(&self, flats: &mut Flats, _: &mut Blocks) {
                let $out = self;
                flats.push(Flat::bits($give))
            }
        }
        impl<$($generic)*> Lift for $type {
            unsafe fn load(at: *const u8) -> Self {
                let $in = *(at as *const i32);
                $take
            }
            unsafe fn lift(flats: &mut Flats) -> Self {
                let $in = flats.next() as i32;
                $take
            }
        }
    };
}
macro_rules! handle {
    ($type:ty) => {
        crossing!($type, [], |own| own.0.replace(0), |handle| Handle::own(handle));
    };
}
crossing!(Lent<T>, [T: Handle], |lent| lent.thing.cell().get(), |handle| Lent { thing: T::own(handle), is_borrowed: true });
`
