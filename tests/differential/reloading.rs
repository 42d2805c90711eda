//! With WEIR_TEST_RELOAD in the environment one of the weirs reads another configuration every 100 ms while the conversations
//! are held: what is said must not depend on it.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use harness::Weir;

const PACE: Duration = Duration::from_millis(100);

/// What comes and goes. No pool changes its size: how large it is matters to the conversations.
const CHANGES: [fn(&str) -> String; 7] = [
    |text| text.replacen("name = \"replica2\"\n", "name = \"replica2\"\nweight = 0\n", 1),
    |text| format!("{text}[[users]]\nname = \"more\"\npassword = \"more\"\n"),
    // One that is reached in another way is another server.
    |text| text.replacen("name = \"replica1\"\n", "name = \"replica1\"\nchannel_binding = \"disable\"\n", 1),
    |text| format!("{text}[[databases]]\nname = \"other\"\nserver_database = \"app\"\n"),
    |text| format!("[timeouts]\nidle_client = \"1h\"\n{text}"),
    |text| format!("{text}[[routing.rules]]\nuser = \"nobody\"\ntarget = \"primary\"\n"),
    |text| text.replacen("[health]\n", "[health]\ninterval = \"300ms\"\n", 1),
];

/// Begins, for as long as the process runs: one weir after the other.
pub(crate) fn storm<'a>(weirs: impl Iterator<Item = &'a Weir>) {
    if std::env::var_os("WEIR_TEST_RELOAD").is_none() {
        return;
    }
    let plain =
        |weir: &Weir| (weir.config().to_owned(), fs::read_to_string(weir.config()).unwrap_or_default());
    let weirs: Vec<_> = weirs.map(plain).collect();
    std::thread::spawn(move || {
        let mut on = [false; CHANGES.len()];
        for at in (0..CHANGES.len()).cycle() {
            on[at] = !on[at];
            let applied = || CHANGES.iter().zip(on).filter(|(_, on)| *on).map(|(change, _)| change);
            for (file, plain) in &weirs {
                std::thread::sleep(PACE);
                reload(file, &applied().fold(plain.clone(), |text, change| change(&text)));
            }
        }
    });
}

fn reload(file: &Path, text: &str) {
    let new = file.with_extension("new");
    let written = fs::write(&new, text).and_then(|()| fs::rename(&new, file));
    let asked = || Command::new(env!("CARGO_BIN_EXE_weir")).arg("reload").arg("--config").arg(file).output();
    match written.and_then(|()| asked()) {
        Ok(output) if output.status.success() => {}
        // A conversation may have ended it: it is told, and what differs is told where it is compared.
        outcome => eprintln!("no reload: {outcome:?}"),
    }
}
