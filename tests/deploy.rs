//! The files in `deploy/`: what can be checked of them without a container engine.

use std::process::Command;

/// The configuration that docker-compose.yml gives to weir is right, and takes its password from the environment.
#[test]
fn the_containers_configuration_is_right() {
    let check = |password: &[(&str, &str)]| {
        Command::new(env!("CARGO_BIN_EXE_weir"))
            .args(["check", "--config", concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/proxy.toml")])
            .env_remove("APP_PASSWORD")
            .envs(password.iter().copied())
            .output()
            .unwrap()
    };
    let output = check(&[("APP_PASSWORD", "app")]);
    let words = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for expected in ["0.0.0.0:6432", "primary:5432", "replica1:5432", "replica2:5432", "0.0.0.0:9187"] {
        assert!(words.contains(expected), "{expected} is not in:\n{words}");
    }
    assert_eq!(check(&[]).status.code(), Some(78));
}

/// Both scripts are what the containers' shell takes: dash's `-n` reads a script and runs nothing.
#[test]
fn the_containers_scripts_parse() {
    for script in ["primary.sh", "replica.sh"] {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/").to_owned() + script;
        let status = Command::new("sh").arg("-n").arg(&path).status().unwrap();
        assert!(status.success(), "{path}");
    }
}

/// What the image and the compose file promise: a user that is not root, by number; a drain that has the time it needs; a check
/// that the image's own program runs.
#[test]
fn the_containers_keep_their_promises() {
    let read = |name: &str| {
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/").to_owned() + name).unwrap()
    };
    let image = read("deploy/Dockerfile");
    let user = image.lines().find_map(|line| line.strip_prefix("USER ")).unwrap();
    let numbers: Vec<u32> = user.split(':').map(|number| number.parse().unwrap()).collect();
    assert!(numbers.iter().all(|number| *number > 0), "{user}");
    assert!(image.contains("CMD [\"weir\", \"health\"") && image.contains("strip "), "{image}");

    let grace = read("docker-compose.yml");
    let grace =
        grace.lines().find_map(|line| line.trim().strip_prefix("stop_grace_period: ")).unwrap().to_owned();
    let grace: u64 = grace.strip_suffix('s').unwrap().parse().unwrap();
    let environment = [("APP_PASSWORD".to_owned(), "app".to_owned())].into_iter().collect();
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/proxy.toml");
    let config = weir::config::load_with(std::path::Path::new(file), &environment).unwrap();
    assert!(grace > config.clients.drain_timeout.as_secs(), "{grace}");
}
