mod bindings;

use bindings::api::{Visitor, Welcome};
use bindings::logging::{log, Level};

const WELCOMES: [(&str, &str); 3] = [("en", "Welcome"), ("de", "Willkommen"), ("fr", "Bienvenue")];

pub fn greet(visitor: Visitor) -> Result<Welcome, String> {
    if visitor.name.trim().is_empty() {
        return Err("Cannot welcome a visitor without a name".to_string());
    }
    let (language, welcome) = visitor
        .languages
        .iter()
        .find_map(|wanted| WELCOMES.iter().find(|(language, _)| language == wanted))
        .unwrap_or(&WELCOMES[0]);
    log(Level::Info, "greet", &format!("Welcomed a visitor in {language}"));
    Ok(Welcome { text: format!("{welcome}, {}!", visitor.name), language: language.to_string() })
}
