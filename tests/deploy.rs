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
