// The world of real.wit with the canonical ABI by hand, as Rust without an allocator.
#![no_std]
#![no_main]

use core::slice;

#[link(wasm_import_module = "test:real/host")]
extern "C" {
    fn note(text: *const u8, length: usize);
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    core::arch::wasm32::unreachable()
}

const HEAP: usize = 1 << 20;
#[repr(align(16))]
struct Heap([u8; HEAP]);
static mut BYTES: Heap = Heap([0; HEAP]);
static mut USED: usize = 0;

#[no_mangle]
pub unsafe extern "C" fn cabi_realloc(old: *const u8, old_size: usize, align: usize, size: usize) -> *mut u8 {
    USED = (USED + align - 1) & !(align - 1);
    if USED + size > HEAP {
        core::arch::wasm32::unreachable()
    }
    let at = (core::ptr::addr_of_mut!(BYTES) as *mut u8).add(USED);
    USED += size;
    core::ptr::copy_nonoverlapping(old, at, old_size);
    at
}

// `result<summary, string>`: the case at 0; words, longest and checksum at 4, 8 and 16, or the error at 4.
static mut ANSWER: Aligned = Aligned([0; 20]);
#[repr(align(4))]
struct Aligned([u8; 20]);

unsafe fn put(at: usize, value: u32) {
    (core::ptr::addr_of_mut!(ANSWER) as *mut u8).add(at).cast::<u32>().write(value)
}

#[export_name = "test:real/api#summarize"]
pub unsafe extern "C" fn summarize(text: *const u8, length: usize) -> *const u8 {
    let text = slice::from_raw_parts(text, length);
    let mut checksum: u32 = 0x811c9dc5;
    for byte in text {
        checksum = (checksum ^ u32::from(*byte)).wrapping_mul(0x01000193);
    }
    let mut words = 0;
    let mut longest: &[u8] = &[];
    for word in text.split(|byte| *byte == b' ').filter(|word| !word.is_empty()) {
        words += 1;
        if word.len() > longest.len() {
            longest = word
        }
    }
    let answer = core::ptr::addr_of_mut!(ANSWER) as *mut u8;
    if words == 0 {
        let none = "no words";
        answer.write(1);
        put(4, none.as_ptr() as u32);
        put(8, none.len() as u32);
        return answer;
    }
    note(longest.as_ptr(), longest.len());
    answer.write(0);
    put(4, words);
    put(8, longest.as_ptr() as u32);
    put(12, longest.len() as u32);
    put(16, checksum & 0x7fffffff);
    answer
}

#[export_name = "cabi_post_test:real/api#summarize"]
pub unsafe extern "C" fn summarized(_: *const u8) {
    USED = 0
}

static mut SORTED: [u32; 2] = [0; 2];

#[export_name = "test:real/api#sort"]
pub unsafe extern "C" fn sort(numbers: *mut f64, length: usize) -> *const u32 {
    slice::from_raw_parts_mut(numbers, length).sort_unstable_by(|a, b| a.partial_cmp(b).unwrap_or(core::cmp::Ordering::Equal));
    let sorted = core::ptr::addr_of_mut!(SORTED) as *mut u32;
    sorted.write(numbers as u32);
    sorted.add(1).write(length as u32);
    sorted
}

#[export_name = "cabi_post_test:real/api#sort"]
pub unsafe extern "C" fn sorted_done(_: *const u32) {
    USED = 0
}
