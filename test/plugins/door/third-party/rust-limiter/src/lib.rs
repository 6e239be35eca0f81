//! `stele:limiter/core` with 128-bit integers: a key has what is missing from its full bucket, in thousandths of a token.
mod bindings;

use bindings::core::{Config, Decision, Problem, Request};
use std::cell::RefCell;

#[derive(Clone)]
struct Key {
    name: String,
    missing: u128,
    at_ms: u64,
}

struct State {
    config: Config,
    now_ms: u64,
    /// In the order in which they came.
    keys: Vec<Key>,
}

thread_local! {
    static STATE: RefCell<Option<State>> = RefCell::new(None);
}

fn refusal(config: &Config) -> Option<&'static str> {
    match (config.capacity, config.keys_max) {
        (0, _) => Some("capacity must be at least 1"),
        (_, 0) => Some("keys-max must be at least 1"),
        _ => None,
    }
}

pub fn init(config: Config) -> Result<(), Problem> {
    if let Some(reason) = refusal(&config) {
        return Err(Problem::InvalidConfig(reason.to_string()));
    }
    STATE.with(|state| *state.borrow_mut() = Some(State { config, now_ms: 0, keys: Vec::new() }));
    Ok(())
}

pub fn step(request: Request) -> Result<Decision, Problem> {
    STATE.with(|state| match state.borrow_mut().as_mut() {
        None => Err(Problem::Uninitialised),
        Some(state) => decide(state, request),
    })
}

fn decide(state: &mut State, request: Request) -> Result<Decision, Problem> {
    if request.now_ms < state.now_ms {
        return Err(Problem::ClockWentBack(state.now_ms));
    }
    let at = match state.keys.iter().position(|key| key.name == request.key) {
        Some(at) => at,
        None if state.keys.len() >= state.config.keys_max as usize => return Err(Problem::TooManyKeys(state.config.keys_max)),
        None => {
            state.keys.push(Key { name: request.key, missing: 0, at_ms: request.now_ms });
            state.keys.len() - 1
        }
    };
    state.now_ms = request.now_ms;
    let (capacity, refill, tokens) = (state.config.capacity as u128, state.config.refill_per_second as u128, request.tokens as u128);
    let key = &mut state.keys[at];
    key.missing = key.missing.saturating_sub((request.now_ms - key.at_ms) as u128 * refill);
    key.at_ms = request.now_ms;
    let there = capacity - (key.missing + 999) / 1000;
    if tokens <= there {
        key.missing += tokens * 1000;
        return Ok(Decision::Granted((there - tokens) as u64));
    }
    if tokens > capacity || refill == 0 {
        return Ok(Decision::Denied(0));
    }
    let needed = tokens * 1000 - (capacity * 1000 - key.missing);
    Ok(Decision::Denied(((needed - 1) / refill + 1).min(u64::MAX as u128) as u64))
}

pub fn snapshot() -> Vec<u8> {
    STATE.with(|state| {
        let mut bytes = Vec::new();
        if let Some(State { config, now_ms, keys }) = state.borrow().as_ref() {
            bytes.extend(b"rust1");
            bytes.extend(config.capacity.to_be_bytes());
            bytes.extend(config.refill_per_second.to_be_bytes());
            bytes.extend(config.keys_max.to_be_bytes());
            bytes.extend(now_ms.to_be_bytes());
            for Key { name, missing, at_ms } in keys {
                bytes.extend((name.len() as u32).to_be_bytes());
                bytes.extend(name.as_bytes());
                bytes.extend(missing.to_be_bytes());
                bytes.extend(at_ms.to_be_bytes());
            }
        }
        bytes
    })
}

/// Takes `N` bytes from the front.
fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (front, rest) = (bytes.get(..N)?, &bytes[N..]);
    *bytes = rest;
    front.try_into().ok()
}

fn read(mut bytes: &[u8]) -> Option<State> {
    if &take::<5>(&mut bytes)? != b"rust1" {
        return None;
    }
    let config = Config {
        capacity: u64::from_be_bytes(take(&mut bytes)?),
        refill_per_second: u64::from_be_bytes(take(&mut bytes)?),
        keys_max: u32::from_be_bytes(take(&mut bytes)?),
    };
    let now_ms = u64::from_be_bytes(take(&mut bytes)?);
    let mut keys = Vec::new();
    while !bytes.is_empty() {
        let length = u32::from_be_bytes(take(&mut bytes)?) as usize;
        let name = String::from_utf8(bytes.get(..length)?.to_vec()).ok()?;
        bytes = &bytes[length..];
        keys.push(Key { name, missing: u128::from_be_bytes(take(&mut bytes)?), at_ms: u64::from_be_bytes(take(&mut bytes)?) });
    }
    let is_sound = refusal(&config).is_none()
        && keys.len() <= config.keys_max as usize
        && keys.iter().all(|key| key.missing <= config.capacity as u128 * 1000 && key.at_ms <= now_ms);
    is_sound.then(|| State { config, now_ms, keys })
}

pub fn restore(snapshot: Vec<u8>) -> Result<(), Problem> {
    match read(&snapshot) {
        None => Err(Problem::InvalidSnapshot("it is none of this format".to_string())),
        found => {
            STATE.with(|state| *state.borrow_mut() = found);
            Ok(())
        }
    }
}
