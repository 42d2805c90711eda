//! Text as a configuration file has it, for those that write one. Pure.

use std::fmt::Write as _;

/// A text in quotes, as TOML reads it.
pub fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            // Writing to a String does not fail.
            control if control.is_control() => _ = write!(quoted, "\\u{:04X}", u32::from(control)),
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for text in ["plain", "say \"hi\"", "C:\\x", "tab\there\nand there", "\u{7f}\u{1}é", ""] {
            let file = config::File::from_str(&format!("key = {}", quoted(text)), config::FileFormat::Toml);
            let read = config::Config::builder().add_source(file).build().unwrap();
            assert_eq!(read.get_string("key").unwrap(), text);
        }
    }
}
