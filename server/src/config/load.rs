//! Putting a configuration together: file, then environment, then flags.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use netdb::base::{Disk, OpenMode, read_to_end};

use super::keys::{Draft, KEYS, named};
use super::{Config, ConfigError, Fault, Source, TlsFiles, file};
use crate::limits::{CONFIG_BYTES_MAX, HTTP_PORT_OFFSET, MESH_PORT_OFFSET};

/// The name of the configuration file in a data directory.
const FILE_NAME: &str = "net-db.toml";

/// Variables that begin like ours and are read elsewhere.
const ELSEWHERE: [&str; 2] = ["NETDB_DIR", "NETDB_CONFIG"];

/// Where settings come from.
#[derive(Debug)]
pub struct Sources<'a> {
    /// The disk that the file is on.
    pub disk: &'a dyn Disk,
    /// The data directory: its `net-db.toml` is read if there is one.
    pub directory: &'a Path,
    /// Another file, which must be there.
    pub file: Option<&'a Path>,
    /// The environment: names and values. Those that do not begin with `NETDB_` are passed over.
    pub environment: Vec<(String, String)>,
    /// What the command line says.
    pub flags: Flags,
}

/// What the command line says.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Flags {
    /// `--listen-http`
    pub listen_http: Option<String>,
    /// `--listen-mesh`
    pub listen_mesh: Option<String>,
    /// `--port-base`
    pub port_base: Option<String>,
    /// `--log-format`
    pub log_format: Option<String>,
}

/// A configuration, and where each of its values comes from.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Key, value and source of each setting.
    pub settings: Settings,
}

/// Key, value and source of each setting, in the order of the documentation; tokens last, without their hashes.
pub type Settings = Vec<(String, String, Source)>;

/// Puts a configuration together. A flag goes before a variable, a variable before the file, the file before the
/// default.
///
/// # Errors
///
/// [`ConfigError`] with all faults: of the file, of variables, of flags, and of what does not fit together, such as an
/// address off loopback without TLS or tokens.
pub fn load(sources: &Sources<'_>) -> Result<Loaded, ConfigError> {
    let mut draft = Draft::default();
    let mut set: Vec<(&'static str, Source)> = Vec::new();
    let mut faults = Vec::new();
    let mut tokens = Vec::new();
    match find_file(sources) {
        Ok(None) => {}
        Ok(Some((path, text))) => {
            let read = file::read(&path, &text, &mut draft);
            faults.extend(read.faults);
            set.extend(read.set);
            tokens = read.tokens;
        }
        Err(fault) => faults.push(fault),
    }
    from_environment(sources, &mut draft, &mut set, &mut faults);
    from_flags(&sources.flags, &mut draft, &mut set, &mut faults);
    let source = |name: &str| {
        let found = set.iter().rev().find(|(key, _)| *key == name);
        found.map_or(Source::Default, |(_, source)| source.clone())
    };
    settle(&mut draft, &source, &mut faults);
    if !faults.is_empty() {
        return Err(ConfigError { faults });
    }
    let mut settings: Settings =
        KEYS.iter().map(|key| (key.name.to_owned(), (key.show)(&draft), source(key.name))).collect();
    for (token, (name, source)) in draft.config.tokens.iter().zip(tokens) {
        settings.push((format!("auth.tokens.{name}"), token.role.to_string(), source));
    }
    Ok(Loaded { config: draft.config, settings })
}

fn find_file(sources: &Sources<'_>) -> Result<Option<(PathBuf, String)>, Fault> {
    let path = match sources.file {
        Some(path) => path.to_owned(),
        None => sources.directory.join(FILE_NAME),
    };
    let fault = |message: String| Fault::new(Source::Default, format!("{}: {message}", path.display()));
    let file = match sources.disk.open(&path, OpenMode::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && sources.file.is_none() => {
            return Ok(None);
        }
        Err(error) => return Err(fault(format!("the configuration cannot be read: {error}"))),
    };
    let bytes = read_to_end(&*file, CONFIG_BYTES_MAX + 1)
        .map_err(|error| fault(format!("the configuration cannot be read: {error}")))?;
    if bytes.len() > CONFIG_BYTES_MAX {
        return Err(fault(format!("the configuration is larger than {CONFIG_BYTES_MAX} bytes")));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        fault(format!("byte {} is no UTF-8: save the file as UTF-8", error.utf8_error().valid_up_to()))
    })?;
    Ok(Some((path, text)))
}

fn from_environment(
    sources: &Sources<'_>,
    draft: &mut Draft,
    set: &mut Vec<(&'static str, Source)>,
    faults: &mut Vec<Fault>,
) {
    let mut environment: Vec<_> =
        sources.environment.iter().filter(|(name, _)| name.starts_with("NETDB_")).collect();
    environment.sort();
    for (name, value) in environment {
        if ELSEWHERE.contains(&name.as_str()) {
            continue;
        }
        let source = Source::Environment { name: name.clone() };
        let Some(key) = KEYS.iter().find(|key| key.variable == name.as_str()) else {
            let message = "there is no such setting: unset it, or see `net-db config show` for those that \
                there are";
            faults.push(Fault::new(source, message));
            continue;
        };
        // Paths in variables count from where the process was started.
        match (key.set)(draft, value, Path::new("")) {
            Ok(()) => set.push((key.name, source)),
            Err(message) => faults.push(Fault::new(source, message)),
        }
    }
}

fn from_flags(
    flags: &Flags,
    draft: &mut Draft,
    set: &mut Vec<(&'static str, Source)>,
    faults: &mut Vec<Fault>,
) {
    let given = [
        ("http.listen", "--listen-http", &flags.listen_http),
        ("mesh.listen", "--listen-mesh", &flags.listen_mesh),
        ("port-base", "--port-base", &flags.port_base),
        ("log.format", "--log-format", &flags.log_format),
    ];
    for (key, name, value) in given {
        let (Some(key), Some(value)) = (named(key), value) else { continue };
        let source = Source::Flag { name };
        match (key.set)(draft, value, Path::new("")) {
            Ok(()) => set.push((key.name, source)),
            Err(message) => faults.push(Fault::new(source, message)),
        }
    }
}

/// Settles what several keys decide together.
fn settle(draft: &mut Draft, source: &dyn Fn(&str) -> Source, faults: &mut Vec<Fault>) {
    let base = draft.port_base();
    let on = |mut usual: SocketAddr, offset: u16| {
        usual.set_port(base + offset);
        usual
    };
    let usual = Config::default();
    let (http, mesh) = (on(usual.http.listen, HTTP_PORT_OFFSET), on(usual.mesh.listen, MESH_PORT_OFFSET));
    draft.config.http.listen = draft.listen.unwrap_or(http);
    draft.config.mesh.listen = draft.listen_mesh.unwrap_or(mesh);
    draft.config.clients = draft.listen_clients.unwrap_or(usual.clients);
    match (&draft.certificate, &draft.key) {
        (Some(certificate), Some(key)) => {
            draft.config.http.tls = Some(TlsFiles { certificate: certificate.clone(), key: key.clone() });
        }
        (None, None) => {}
        (Some(_), None) => faults.push(Fault::new(
            source("http.tls-certificate"),
            "a certificate needs its key: set `http.tls-key`",
        )),
        (None, Some(_)) => faults.push(Fault::new(
            source("http.tls-key"),
            "a key needs its certificate: set `http.tls-certificate`",
        )),
    }
    let http = &draft.config.http;
    if http.bodies_bytes_max < http.body_bytes_max {
        let message =
            "all bodies together have less room than one: raise `http.bodies-max`, or lower `http.body-max`";
        let said = [source("http.bodies-max"), source("http.body-max")];
        let source = said.into_iter().find(|source| *source != Source::Default).unwrap_or(Source::Default);
        faults.push(Fault::new(source, message));
    }
    let listen = draft.config.http.listen;
    let missing = missing_for(listen, draft.config.http.tls.is_some(), !draft.config.tokens.is_empty());
    // Whether tokens are missing is not known while those of the file are faulty.
    if let Some(missing) = missing.filter(|_| faults.is_empty()) {
        faults.push(Fault::new(source("http.listen"), missing));
    }
}

/// Says what an address needs that is not there; addresses on loopback need nothing.
pub(crate) fn missing_for(listen: SocketAddr, has_tls: bool, has_tokens: bool) -> Option<String> {
    let missing = match (has_tls, has_tokens) {
        _ if listen.ip().to_canonical().is_loopback() => return None,
        (true, true) => return None,
        (false, true) => "TLS: set `http.tls-certificate` and `http.tls-key`",
        (true, false) => "authentication: add a token (`net-db config token`)",
        (false, false) => {
            "TLS and authentication: set `http.tls-certificate` and `http.tls-key`, and add a token (`net-db \
             config token`)"
        }
    };
    Some(format!(
        "{listen} can be reached from other machines, which needs {missing}; or listen on 127.0.0.1"
    ))
}
