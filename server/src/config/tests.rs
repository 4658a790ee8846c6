//! Tests of putting a configuration together.

use std::path::Path;
use std::time::Duration;

use netdb::base::{Disk, MemoryDisk, OpenMode, write_all_at};

use super::*;
use crate::{Role, hash_token};

const TOKEN: &str = "netdb_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

fn load_from(text: Option<&str>, environment: &[(&str, &str)], flags: Flags) -> Result<Loaded, ConfigError> {
    let disk = MemoryDisk::default();
    let directory = Path::new("/data");
    disk.create_directories(directory).unwrap();
    if let Some(text) = text {
        let file = disk.open(&directory.join("net-db.toml"), OpenMode::Create).unwrap();
        write_all_at(&*file, text.as_bytes(), 0).unwrap();
    }
    let environment =
        environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    load(&Sources { disk: &disk, directory, file: None, environment, flags })
}

fn faults(text: &str) -> Vec<String> {
    let error = load_from(Some(text), &[], Flags::default()).unwrap_err();
    error.faults.iter().map(ToString::to_string).collect()
}

fn source(loaded: &Loaded, key: &str) -> (String, String) {
    let found = loaded.settings.iter().find(|(name, ..)| name == key).unwrap();
    (found.1.clone(), found.2.to_string())
}

#[test]
fn without_anything_the_defaults_hold() {
    let loaded = load_from(None, &[("HOME", "x"), ("NETDB_DIR", "y")], Flags::default()).unwrap();
    assert_eq!(loaded.config.http.listen.to_string(), "127.0.0.1:7700");
    assert_eq!(source(&loaded, "http.body-max"), ("48MiB".into(), "default".into()));
    assert_eq!(loaded.settings.len(), super::keys::KEYS.len());
}

#[test]
fn flags_go_before_variables_and_these_before_the_file() {
    let text = "shutdown-within = \"3s\"\nport-base = 1000\n[http]\nlisten = \"127.0.0.1:1\"\nheader-within = \"1s\"";
    let variables = [("NETDB_HTTP_LISTEN", "127.0.0.1:2"), ("NETDB_SHUTDOWN_WITHIN", "4s")];
    let flags = Flags { listen_http: Some("127.0.0.1:3".into()), ..Flags::default() };
    let loaded = load_from(Some(text), &variables, flags).unwrap();
    assert_eq!(source(&loaded, "http.listen"), ("127.0.0.1:3".into(), "flag --listen-http".into()));
    assert_eq!(source(&loaded, "shutdown-within"), ("4s".into(), "environment NETDB_SHUTDOWN_WITHIN".into()));
    assert_eq!(source(&loaded, "http.header-within"), ("1s".into(), "/data/net-db.toml:5".into()));
    assert_eq!(loaded.config.shutdown_within, Duration::from_secs(4));
}

#[test]
fn the_port_base_moves_what_has_no_address_of_its_own() {
    let flags = |port: &str| Flags { port_base: Some(port.to_owned()), ..Flags::default() };
    let loaded = load_from(None, &[], flags("9000")).unwrap();
    assert_eq!(loaded.config.http.listen.to_string(), "127.0.0.1:9000");
    let loaded = load_from(None, &[("NETDB_HTTP_LISTEN", "127.0.0.1:1")], flags("9000")).unwrap();
    assert_eq!(loaded.config.http.listen.to_string(), "127.0.0.1:1");
    assert!(load_from(None, &[], flags("65530")).is_err());
}

#[test]
fn all_faults_are_told_at_once_with_their_lines() {
    let text = "colour = 1\nshutdown-within = \"soon\"\n[http]\nlisten = \"here\"\nbody_max = \"1MiB\"\n\
        requests-max = 0\n[log]\nformat = \"xml\"\n";
    let variables = [("NETDB_HTTP_LISTENS", "x"), ("NETDB_SQL_ROWS_MAX", "many")];
    let flags = Flags { port_base: Some("x".into()), ..Flags::default() };
    let error = load_from(Some(text), &variables, flags).unwrap_err();
    let places: Vec<String> = error.faults.iter().map(|fault| fault.source.to_string()).collect();
    let line = |line| format!("/data/net-db.toml:{line}");
    let variable = |name| format!("environment {name}");
    let expected = [
        line(1),
        line(2),
        line(4),
        line(5),
        line(6),
        line(8),
        variable("NETDB_HTTP_LISTENS"),
        variable("NETDB_SQL_ROWS_MAX"),
        "flag --port-base".to_owned(),
    ];
    assert_eq!(places, expected, "{error}");
    assert!(error.to_string().contains("is `http.body-max` meant?"), "{error}");
}

#[test]
fn what_is_no_toml_is_told_with_its_lines() {
    let found = faults("port-base = \n[http]\nlisten = \n");
    assert!(found.len() >= 2, "{found:?}");
    assert!(found[0].starts_with("/data/net-db.toml:1: this is no TOML"), "{found:?}");
}

#[test]
fn values_of_the_wrong_shape_are_faults() {
    for (text, said) in [
        ("http = 1", "is a table"),
        ("[http]\nlisten = []", "wants a text"),
        ("[[http]]\nlisten = \"x\"", "is a table"),
        ("[http.listen]\nx = 1", "wants a text"),
        ("auth = 1", "is a table"),
        ("[auth]\ntokens = 1", "is a list"),
        ("[auth]\ntokens = [1]", "a token is a table"),
        ("[auth]\nusers = 1", "no key `auth.users`"),
        ("[http]\nbody-max = 0", "admits nothing"),
        ("[http]\nbody-max = \"1GiB\"", "less room than one"),
        ("[http]\nbodies-max = \"1MiB\"", "less room than one"),
    ] {
        let found = faults(text);
        assert!(found.len() == 1 && found[0].contains(said), "{text}: {found:?}");
    }
}

#[test]
fn tokens_are_read_and_shown_without_their_hashes() {
    let hash = hash_token(TOKEN);
    let text = format!("[[auth.tokens]]\nname = \"grafana\"\nrole = \"read\"\nhash = \"{hash}\"\n");
    let loaded = load_from(Some(&text), &[], Flags::default()).unwrap();
    assert_eq!(loaded.config.tokens[0].role, Role::Read);
    assert_eq!(source(&loaded, "auth.tokens.grafana"), ("read".into(), "/data/net-db.toml:1".into()));
    assert!(!format!("{:?}", loaded.settings).contains(&hash));
    assert!(!format!("{:?}", loaded.config).contains(&hash[7..]), "hashes do not show");

    let twice = format!("{text}{text}");
    assert!(faults(&twice)[0].contains("two tokens `grafana`"));
    let wrong = "[[auth.tokens]]\nname = \"\"\nrole = \"root\"\nhash = \"x\"\ncolour = \"red\"\n";
    assert_eq!(faults(wrong).len(), 4, "{:?}", faults(wrong));
    assert_eq!(faults("[[auth.tokens]]\n").len(), 3);
    let plain = format!("[[auth.tokens]]\nname = \"a\"\nrole = \"read\"\nhash = \"{TOKEN}\"\n");
    assert!(faults(&plain)[0].contains("net-db config token"));
}

#[test]
fn an_address_off_loopback_needs_tls_and_a_token() {
    let token = format!("[[auth.tokens]]\nname = \"a\"\nrole = \"read\"\nhash = \"{}\"\n", hash_token(TOKEN));
    let tls = "[http]\ntls-certificate = \"c.pem\"\ntls-key = \"k.pem\"\n";
    let listening = |text: &str, address: &str| {
        load_from(Some(text), &[("NETDB_HTTP_LISTEN", address)], Flags::default())
    };
    for address in ["0.0.0.0:7700", "[::]:7700", "192.0.2.1:7700", "[::ffff:192.0.2.1]:7700"] {
        let told = |text: &str| listening(text, address).unwrap_err().to_string();
        assert!(told("").contains("TLS and authentication"), "{}", told(""));
        assert!(told(tls).contains("needs authentication"), "{}", told(tls));
        assert!(told(&token).contains("needs TLS"), "{}", told(&token));
        assert!(listening(&format!("{tls}{token}"), address).is_ok());
    }
    for address in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
        assert!(listening("", address).is_ok(), "{address}");
    }
}

#[test]
fn a_certificate_and_its_key_come_together_and_from_the_folder_of_the_file() {
    assert!(faults("[http]\ntls-certificate = \"c.pem\"\n")[0].contains("`http.tls-key`"));
    assert!(faults("[http]\ntls-key = \"c.pem\"\n")[0].contains("`http.tls-certificate`"));
    let text = "[http]\ntls-certificate = \"c.pem\"\ntls-key = \"/keys/k.pem\"\n";
    let loaded = load_from(Some(text), &[], Flags::default()).unwrap();
    let tls = loaded.config.http.tls.unwrap();
    assert_eq!(tls.certificate, Path::new("/data/c.pem"));
    assert_eq!(tls.key, Path::new("/keys/k.pem"));
}

#[test]
fn a_file_that_was_named_must_be_there() {
    let disk = MemoryDisk::default();
    let sources = |file| Sources {
        disk: &disk,
        directory: Path::new("/data"),
        file,
        environment: Vec::new(),
        flags: Flags::default(),
    };
    assert!(load(&sources(None)).is_ok());
    let error = load(&sources(Some(Path::new("/other.toml")))).unwrap_err();
    assert!(error.to_string().contains("/other.toml: the configuration cannot be read"), "{error}");
}

#[test]
fn the_peak_of_the_network_is_given_measured_or_none() {
    use netdb::replication::Peak;
    let peak = |text: &str| {
        let text = format!("[mesh]\npeak = \"{text}\"\n");
        let loaded = load_from(Some(&text), &[], Flags::default()).ok()?;
        Some((loaded.config.mesh.peak, source(&loaded, "mesh.peak").0))
    };
    let given = std::num::NonZeroU64::new(100 << 20).map(Peak::Given).unwrap();
    assert_eq!(peak("100MiB"), Some((given, "100MiB".to_owned())));
    assert_eq!(peak("measured"), Some((Peak::Measured, "measured".to_owned())));
    assert_eq!(peak("none"), Some((Peak::Unlimited, "none".to_owned())));
    for wrong in ["0", "0MiB", "fast", "-1", ""] {
        assert_eq!(peak(wrong), None, "{wrong}");
    }
    assert_eq!(load_from(None, &[], Flags::default()).unwrap().config.mesh.peak, Peak::Unlimited);
}
