//! Implements `../assemblyscript/world.wit` for `generate-languages.test.ts`: every type goes in and comes out.
mod bindings;
use bindings::api::{CounterHandle, Level, Perms, Point, Shape, VariantX};
use bindings::store::{merge, Bucket, Error};
use bindings::world::note;
use std::cell::Cell;

pub fn echo(s: Shape, p: Point, l: Level, f: Perms) -> (Shape, Point, Level, Perms) {
    (s, p, l, f)
}
#[allow(clippy::too_many_arguments)]
pub fn many(
    a: u8, b: i16, c: u64, d: f32, e: f64, f: char, g: bool, h: String, i: Vec<String>, j: Vec<f64>, k: Option<Option<String>>, l: Result<u8, String>, m: Result<(), ()>,
    n: (u8, String),
) -> Vec<(String, u32)> {
    let mut out = vec![(h, i.len() as u32)];
    let count = i.len();
    out.extend(i.into_iter().zip(0..));
    assert!(count + 1 == out.len());
    let line = format!("{a} {b} {c} {d} {e} {} {g} {} {} {} {} {} {}", f as u32, j.len(), k.is_some(), l.is_ok(), m.is_ok(), n.0, n.1);
    out.push((line, j.first().map_or(0, |first| *first as u32)));
    out
}
pub fn res(x: Result<Vec<u64>, Error>) -> Result<Option<u32>, Error> {
    Ok(x?.first().map(|first| *first as u32))
}
pub fn lend(b: &Bucket, key: String) -> Option<Vec<u8>> {
    b.get(&key).ok().flatten()
}
pub fn flat(a: Option<f32>, b: VariantX) -> VariantX {
    a.map_or(b, VariantX::A)
}
pub struct Counter(Cell<u32>);
impl Counter {
    pub fn new(start: u32) -> Self {
        Counter(Cell::new(start))
    }
    pub fn increment(&self, by: u32) -> u32 {
        self.0.set(self.0.get() + by);
        self.0.get()
    }
    pub fn merge(a: CounterHandle, b: &Counter) -> CounterHandle {
        CounterHandle::new(Counter::new(a.0.get() + b.0.get()))
    }
}
pub fn run() -> String {
    note("running");
    let b = Bucket::new("x");
    b.set("k", &[1, 2, 3]);
    let c = Bucket::open("y").unwrap();
    format!("ran {}", merge(b, &c, &["p".to_string(), "q".to_string()]))
}
