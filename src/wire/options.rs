//! The `options` startup parameter: switches of the server program, which stand for settings.
//!
//! Read as PostgreSQL reads them (`pg_split_opts`, `process_postgres_switches`). Pure. Whether a setting may be set at
//! login is the server's to say.

use bytes::Bytes;

use super::startup::Parameter;
use crate::error::{Error, Result};

/// A setting that a switch stands for.
type Meaning = (&'static str, &'static str);

/// What follows `-f`, by its first letter, and the plans that it turns off.
const PLANS: [(u8, &str); 8] = [
    (b's', "enable_seqscan"),
    (b'i', "enable_indexscan"),
    (b'o', "enable_indexonlyscan"),
    (b'b', "enable_bitmapscan"),
    (b't', "enable_tidscan"),
    (b'n', "enable_nestloop"),
    (b'm', "enable_mergejoin"),
    (b'h', "enable_hashjoin"),
];

/// What follows `-t`, by its first letters.
const STATISTICS: [(&[u8], &str); 3] =
    [(b"pa", "log_parser_stats"), (b"pl", "log_planner_stats"), (b"e", "log_executor_stats")];

/// What `-d` turns on besides, from which level on.
const DEBUGGING: [(i64, Meaning); 4] = [
    (2, ("log_statement", "all")),
    (3, ("debug_print_parse", "true")),
    (4, ("debug_print_plan", "true")),
    (5, ("debug_print_rewritten", "true")),
];

/// The settings in `options`, in the order in which they take effect: `-c name=value`, `--name=value`, and the switches
/// of one letter. A dash in a name stands for an underscore.
pub fn parse_options(options: &[u8]) -> Result<Vec<Parameter>> {
    let mut settings = Vec::new();
    let mut words = split_options(options).into_iter();
    while let Some(word) = words.next() {
        if word == b"--" {
            // The switches end here, and nothing else is taken.
            return words.next().map_or(Ok(settings), |word| Err(refused(&word)));
        }
        match word.split_first() {
            Some((b'-', switches)) if !switches.is_empty() => {
                read_word(&word, switches, &mut words, &mut settings)?;
            }
            _ => return Err(refused(&word)),
        }
    }
    Ok(settings)
}

fn refused(word: &[u8]) -> Error {
    Error::Switch(lossy(word))
}

/// A word's switches. The last one may have its argument in the same word or in the next.
fn read_word(
    word: &[u8],
    mut switches: &[u8],
    words: &mut impl Iterator<Item = Vec<u8>>,
    settings: &mut Vec<Parameter>,
) -> Result<()> {
    while let Some((&switch, behind)) = switches.split_first() {
        if takes_argument(switch) {
            let next =
                if behind.is_empty() { Some(words.next().ok_or_else(|| refused(word))?) } else { None };
            let (argument, last) = next.as_deref().map_or((behind, word), |next| (next, next));
            return read_argument(switch, argument, last, settings);
        }
        let meaning = plain_switch(switch).ok_or_else(|| refused(word))?;
        settings.extend(meaning.map(|(name, value)| setting(name, value)));
        switches = behind;
    }
    Ok(())
}

fn takes_argument(switch: u8) -> bool {
    b"BCDNSWcdfhkprtv-".contains(&switch)
}

/// What a switch without an argument stands for, which may be nothing; none when there is no such switch.
fn plain_switch(switch: u8) -> Option<Option<Meaning>> {
    Some(match switch {
        b'e' => Some(("datestyle", "euro")),
        b'F' => Some(("fsync", "false")),
        b'i' => Some(("listen_addresses", "*")),
        b'l' => Some(("ssl", "true")),
        b'O' => Some(("allow_system_table_mods", "true")),
        b'P' => Some(("ignore_system_indexes", "true")),
        b's' => Some(("log_statement_stats", "true")),
        // These are for whoever starts the program by hand.
        b'b' | b'E' | b'j' | b'n' | b'T' => None,
        _ => return None,
    })
}

/// A switch with its argument, which ends in the word `last`.
fn read_argument(switch: u8, argument: &[u8], last: &[u8], settings: &mut Vec<Parameter>) -> Result<()> {
    let named = |name: &str| (Bytes::copy_from_slice(name.as_bytes()), Bytes::copy_from_slice(argument));
    match switch {
        b'c' => settings.push(long_option("-c ", argument)?),
        b'-' => settings.push(long_option("--", argument)?),
        b'd' => debugging(argument, settings),
        b'f' => {
            let plan = PLANS.iter().find(|(letter, _)| argument.first() == Some(letter));
            settings.push(setting(plan.ok_or_else(|| refused(last))?.1, "false"));
        }
        b't' => {
            let statistics = STATISTICS.iter().find(|(letters, _)| argument.starts_with(letters));
            settings.push(setting(statistics.ok_or_else(|| refused(last))?.1, "true"));
        }
        b'B' => settings.push(named("shared_buffers")),
        b'h' => settings.push(named("listen_addresses")),
        b'k' => settings.push(named("unix_socket_directories")),
        b'N' => settings.push(named("max_connections")),
        b'p' => settings.push(named("port")),
        b'S' => settings.push(named("work_mem")),
        b'W' => settings.push(named("post_auth_delay")),
        // A data directory and the like: PostgreSQL does not look at them in a session.
        _ => {}
    }
    Ok(())
}

fn setting(name: &str, value: &str) -> Parameter {
    (Bytes::copy_from_slice(name.as_bytes()), Bytes::copy_from_slice(value.as_bytes()))
}

/// `name=value`, as PostgreSQL's ParseLongOption reads it.
fn long_option(switch: &str, text: &[u8]) -> Result<Parameter> {
    let Some(equals) = text.iter().position(|&b| b == b'=') else {
        return Err(Error::SwitchValue(format!("{switch}{}", lossy(text))));
    };
    let (name, value) = text.split_at(equals);
    let name: Vec<u8> = name.iter().map(|&b| if b == b'-' { b'_' } else { b }).collect();
    Ok((name.into(), Bytes::copy_from_slice(value.get(1..).unwrap_or_default())))
}

/// `-d level`: from 1 on the log says more, and 0 takes that back.
fn debugging(level: &[u8], settings: &mut Vec<Parameter>) {
    let level = leading_number(level);
    let messages = if level > 0 { format!("debug{level}") } else { "notice".to_owned() };
    settings.push(setting("log_min_messages", &messages));
    let more = DEBUGGING.iter().filter(|(from, _)| level >= *from);
    settings.extend(more.map(|(_, (name, value))| setting(name, value)));
}

/// The number that a text begins with, as C's atoi has it; 0 when it begins with none.
fn leading_number(text: &[u8]) -> i64 {
    let (negative, text) = match text.split_first() {
        Some((b'-', digits)) => (true, digits),
        Some((b'+', digits)) => (false, digits),
        _ => (false, text),
    };
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit());
    let number =
        digits.fold(0i64, |number, digit| number.saturating_mul(10).saturating_add(i64::from(digit - b'0')));
    if negative { -number } else { number }
}

/// Words between spaces; a backslash makes the next byte part of the word.
fn split_options(options: &[u8]) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut bytes = options.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c => words.extend(word.take()),
            // A backslash at the very end stands for nothing, but does begin a word.
            b'\\' => word.get_or_insert_default().extend(bytes.next()),
            _ => word.get_or_insert_default().push(byte),
        }
    }
    words.extend(word);
    words
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pairs(list: &[(&str, &str)]) -> Vec<Parameter> {
        list.iter().map(|(name, value)| setting(name, value)).collect()
    }

    #[test]
    fn options_are_read_as_postgresql_reads_them() {
        let read = |text: &str| parse_options(text.as_bytes()).unwrap();
        assert_eq!(read(""), vec![]);
        assert_eq!(read("  -c  a=1\t--b-c=2 -cd=3 "), pairs(&[("a", "1"), ("b_c", "2"), ("d", "3")]));
        assert_eq!(read(r"-c a=x\ y\\z -c b="), pairs(&[("a", r"x y\z"), ("b", "")]));
        assert_eq!(read("--"), vec![]);
        assert_eq!(read("-c a=b=c"), pairs(&[("a", "b=c")]));
        assert_eq!(read("-c weir.target=primary"), pairs(&[("weir.target", "primary")]));
    }

    #[test]
    fn options_that_are_no_settings_are_refused() {
        let refused = |text: &str| parse_options(text.as_bytes()).unwrap_err();
        for (options, named) in [
            ("-X", "-X"),
            ("plain", "plain"),
            ("-", "-"),
            ("-- a=1", "a=1"),
            ("-c", "-c"),
            ("-S", "-S"),
            ("-f x", "x"),
            ("-fx", "-fx"),
            ("-t zz", "zz"),
            ("-eX", "-eX"),
        ] {
            assert!(matches!(refused(options), Error::Switch(word) if word == named), "{options}");
        }
        assert!(matches!(refused("-c name"), Error::SwitchValue(word) if word == "-c name"));
        assert!(matches!(refused("--name"), Error::SwitchValue(word) if word == "--name"));
    }

    #[test]
    fn switches_of_one_letter_stand_for_settings() {
        let read = |text: &str| parse_options(text.as_bytes()).unwrap();
        for (options, expected) in [
            ("-S 8192", &[("work_mem", "8192")][..]),
            ("-S8MB -e", &[("work_mem", "8MB"), ("datestyle", "euro")]),
            ("-OS 4096", &[("allow_system_table_mods", "true"), ("work_mem", "4096")]),
            ("-f s -fhash", &[("enable_seqscan", "false"), ("enable_hashjoin", "false")]),
            (
                "-t pa -tpl -texec",
                &[
                    ("log_parser_stats", "true"),
                    ("log_planner_stats", "true"),
                    ("log_executor_stats", "true"),
                ],
            ),
            ("-d0", &[("log_min_messages", "notice")]),
            ("-d-1", &[("log_min_messages", "notice")]),
            ("-d 1x", &[("log_min_messages", "debug1")]),
            (
                "-d3",
                &[("log_min_messages", "debug3"), ("log_statement", "all"), ("debug_print_parse", "true")],
            ),
            ("-b -E -j -n -T -D x -C x -rx -v 3", &[]),
            (
                "-s -P -W 0",
                &[
                    ("log_statement_stats", "true"),
                    ("ignore_system_indexes", "true"),
                    ("post_auth_delay", "0"),
                ],
            ),
            ("-e-work-mem=1MB", &[("datestyle", "euro"), ("work_mem", "1MB")]),
        ] {
            assert_eq!(read(options), pairs(expected), "{options}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_parsing_panic(options in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_options(&options);
        }

        #[test]
        fn escaped_options_come_back(value in "[^\0]{1,20}") {
            let escaped: String = value.chars().flat_map(|c| ['\\', c]).collect();
            let settings = parse_options(format!("-c name={escaped}").as_bytes()).unwrap();
            prop_assert_eq!(settings, pairs(&[("name", &value)]));
        }
    }
}
