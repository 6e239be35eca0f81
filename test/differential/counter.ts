/** Resources in both directions: `thing` is the host's, `counter` the guest's, whose representation is its number. */
import type { Recipe } from "./build.ts"
import { allocator } from "./guest.ts"

export const counterApi = "gen:res/api"
export const counterHost = "gen:res/host"

export const counter: Recipe = {
  wit: `package gen:res;
interface host {
  resource thing { constructor(n: u32); get: func() -> u32; add: func(n: u32) -> u32; twin: static func(of: borrow<thing>) -> thing; }
  take: func(t: thing) -> u32;
  pair: func(n: u32) -> tuple<thing, thing>;
}
interface api {
  use host.{thing};
  resource counter { constructor(n: u32); get: func() -> u32; plus: func(other: borrow<counter>) -> counter; merge: static func(a: counter, b: counter) -> counter; }
  make-thing: func(n: u32) -> thing;
  work: func(t: borrow<thing>, n: u32) -> u32;
  twin-of: func(t: borrow<thing>) -> thing;
  give: func(t: thing) -> u32;
  swallow: func(t: thing);
  first-of-pair: func(n: u32) -> thing;
  many: func(n: u32) -> list<counter>;
  sum: func(all: list<borrow<counter>>) -> u32;
  drops: func() -> u32;
}
world res { import host; export api; }`,
  core: `(module
(import "${counterHost}" "[constructor]thing" (func $new-thing (param i32) (result i32)))
(import "${counterHost}" "[method]thing.get" (func $thing-get (param i32) (result i32)))
(import "${counterHost}" "[method]thing.add" (func $thing-add (param i32 i32) (result i32)))
(import "${counterHost}" "[static]thing.twin" (func $thing-twin (param i32) (result i32)))
(import "${counterHost}" "[resource-drop]thing" (func $drop-thing (param i32)))
(import "${counterHost}" "take" (func $take (param i32) (result i32)))
(import "${counterHost}" "pair" (func $pair (param i32 i32)))
(import "[export]${counterApi}" "[resource-new]counter" (func $new (param i32) (result i32)))
(import "[export]${counterApi}" "[resource-rep]counter" (func $rep (param i32) (result i32)))
(import "[export]${counterApi}" "[resource-drop]counter" (func $drop (param i32)))
${allocator}
(global $drops (mut i32) (i32.const 0))
(func (export "${counterApi}#[dtor]counter") (param i32) (global.set $drops (i32.add (global.get $drops) (i32.const 1))))
(func (export "${counterApi}#[constructor]counter") (param i32) (result i32) (call $new (local.get 0)))
(func (export "${counterApi}#[method]counter.get") (param i32) (result i32) (local.get 0))
(func (export "${counterApi}#[method]counter.plus") (param i32 i32) (result i32) (call $new (i32.add (local.get 0) (local.get 1))))
(func (export "${counterApi}#[static]counter.merge") (param i32 i32) (result i32) (local $sum i32)
  (local.set $sum (i32.add (call $rep (local.get 0)) (call $rep (local.get 1))))
  (call $drop (local.get 0)) (call $drop (local.get 1)) (call $new (local.get $sum)))
(func (export "${counterApi}#make-thing") (param i32) (result i32) (call $new-thing (local.get 0)))
(func (export "${counterApi}#work") (param i32 i32) (result i32) (local $out i32)
  (drop (call $thing-add (local.get 0) (local.get 1)))
  (local.set $out (call $thing-get (local.get 0))) (call $drop-thing (local.get 0)) (local.get $out))
(func (export "${counterApi}#twin-of") (param i32) (result i32) (local $out i32)
  (local.set $out (call $thing-twin (local.get 0))) (call $drop-thing (local.get 0)) (local.get $out))
(func (export "${counterApi}#give") (param i32) (result i32) (call $take (local.get 0)))
(func (export "${counterApi}#swallow") (param i32) (call $drop-thing (local.get 0)))
(func (export "${counterApi}#first-of-pair") (param i32) (result i32)
  (call $pair (local.get 0) (i32.const 64)) (call $drop-thing (i32.load (i32.const 68))) (i32.load (i32.const 64)))
(func (export "${counterApi}#many") (param $n i32) (result i32) (local $i i32) (local $at i32)
  (local.set $at (call $alloc (i32.const 0) (i32.const 0) (i32.const 4) (i32.shl (local.get $n) (i32.const 2))))
  (block (loop (br_if 1 (i32.eq (local.get $i) (local.get $n)))
    (i32.store (i32.add (local.get $at) (i32.shl (local.get $i) (i32.const 2))) (call $new (i32.add (local.get $i) (i32.const 1))))
    (local.set $i (i32.add (local.get $i) (i32.const 1))) (br 0)))
  (i32.store (i32.const 64) (local.get $at)) (i32.store (i32.const 68) (local.get $n)) (i32.const 64))
(func (export "${counterApi}#sum") (param $at i32) (param $n i32) (result i32) (local $out i32)
  (block (loop (br_if 1 (i32.eqz (local.get $n)))
    (local.set $out (i32.add (local.get $out) (i32.load (local.get $at))))
    (local.set $at (i32.add (local.get $at) (i32.const 4))) (local.set $n (i32.sub (local.get $n) (i32.const 1))) (br 0)))
  (local.get $out))
(func (export "${counterApi}#drops") (result i32) (global.get $drops)))`,
  world: "res",
  encoding: "utf8",
}
