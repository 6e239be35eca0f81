// A guest that initialises itself: a sieve of a million numbers and a table of CRC-32, as a library does with what it computes once.
#![no_std]
#![no_main]

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    core::arch::wasm32::unreachable()
}

const COUNT: usize = 1_000_000;
static mut COMPOSITE: [u8; COUNT] = [0; COUNT];
static mut CRC: [u32; 256] = [0; 256];

#[no_mangle]
pub unsafe extern "C" fn _initialize() {
    let composite = &mut *core::ptr::addr_of_mut!(COMPOSITE);
    let mut n = 2;
    while n * n < COUNT {
        if composite[n] == 0 {
            let mut multiple = n * n;
            while multiple < COUNT {
                composite[multiple] = 1;
                multiple += n;
            }
        }
        n += 1;
    }
    let crc = &mut *core::ptr::addr_of_mut!(CRC);
    for i in 0..256u32 {
        let mut value = i;
        for _ in 0..8 {
            value = if value & 1 == 1 { 0xedb88320 ^ (value >> 1) } else { value >> 1 };
        }
        crc[i as usize] = value;
    }
}

/// Is `n` prime, and the table's entry for its low byte.
#[no_mangle]
pub unsafe extern "C" fn look(n: u32) -> u32 {
    let prime = (n as usize) < COUNT && n > 1 && (*core::ptr::addr_of!(COMPOSITE))[n as usize] == 0;
    (*core::ptr::addr_of!(CRC))[(n & 255) as usize] ^ u32::from(prime)
}
