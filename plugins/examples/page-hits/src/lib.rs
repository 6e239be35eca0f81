mod bindings;

use bindings::api::{Page, Problem};
use bindings::atomics::increment;
use bindings::store::{open, Error};

const BUCKET: &str = "hits";
const PATH_BYTES_MAX: usize = 512;

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Problem::Store(match error {
            Error::NoSuchStore => "there is no such store".to_string(),
            Error::AccessDenied => "access was denied".to_string(),
            Error::Other(why) => why,
        })
    }
}

pub fn hit(path: String, by: u32) -> Result<i64, Problem> {
    if !path.starts_with('/') || path.len() > PATH_BYTES_MAX {
        return Err(Problem::NoPath(format!("A path starts with / and has at most {PATH_BYTES_MAX} bytes")));
    }
    Ok(increment(&open(BUCKET)?, &path, by.into())?)
}

pub fn top(count: u32) -> Result<Vec<Page>, Problem> {
    let bucket = open(BUCKET)?;
    let mut pages = Vec::new();
    let mut cursor = None;
    loop {
        let found = bucket.list_keys(&cursor)?;
        for path in found.keys {
            // It may have gone since it was listed.
            let value = match bucket.get(&path)? {
                Some(value) => value,
                None => continue,
            };
            let text = std::str::from_utf8(&value).unwrap_or_default();
            let hits = text.parse().map_err(|_| Problem::Store(format!("What is stored for {path} is no count")))?;
            pages.push(Page { path, hits });
        }
        cursor = found.cursor;
        if cursor.is_none() {
            break;
        }
    }
    pages.sort_by(|a, b| b.hits.cmp(&a.hits).then_with(|| a.path.cmp(&b.path)));
    pages.truncate(count as usize);
    Ok(pages)
}
