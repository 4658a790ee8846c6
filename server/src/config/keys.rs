//! The keys that can be set, each with how it is read and shown.

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use netdb::replication::Peak;

use super::value::{count, duration, show_duration, show_size, size};
use super::{Config, LogFormat};
use crate::limits::{NODE_NAME_BYTES_MAX, PORT_BASE, PORT_BASE_MAX};

/// One key: its dotted name in the file, its variable, and what it does to a draft.
pub(super) struct Key {
    /// The dotted name.
    pub(super) name: &'static str,
    /// The environment variable.
    pub(super) variable: &'static str,
    /// Reads the value; texts that name files count from the folder.
    pub(super) set: fn(&mut Draft, &str, &Path) -> Result<(), String>,
    /// Shows the value that holds in the end.
    pub(super) show: fn(&Draft) -> String,
}

/// A configuration that is being put together.
#[derive(Debug, Clone, Default)]
pub(super) struct Draft {
    pub(super) config: Config,
    pub(super) port_base: Option<u16>,
    pub(super) listen: Option<SocketAddr>,
    pub(super) listen_mesh: Option<SocketAddr>,
    pub(super) listen_clients: Option<SocketAddr>,
    pub(super) certificate: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
}

impl Draft {
    pub(super) fn port_base(&self) -> u16 {
        self.port_base.unwrap_or(PORT_BASE)
    }
}

/// All keys, in the order in which they are shown.
pub(super) const KEYS: &[Key] = &[
    Key {
        name: "port-base",
        variable: "NETDB_PORT_BASE",
        set: |draft, text, _| {
            let port = text.parse().ok().filter(|port| (1..=PORT_BASE_MAX).contains(port));
            draft.port_base =
                Some(port.ok_or_else(|| format!("`{text}` is no port base: give 1 to {PORT_BASE_MAX}"))?);
            Ok(())
        },
        show: |draft| draft.port_base().to_string(),
    },
    Key {
        name: "http.listen",
        variable: "NETDB_HTTP_LISTEN",
        set: |draft, text, _| {
            draft.listen = Some(address(text)?);
            Ok(())
        },
        show: |draft| draft.config.http.listen.to_string(),
    },
    Key {
        name: "http.tls-certificate",
        variable: "NETDB_HTTP_TLS_CERTIFICATE",
        set: |draft, text, folder| path(&mut draft.certificate, text, folder),
        show: |draft| shown(&draft.certificate),
    },
    Key {
        name: "http.tls-key",
        variable: "NETDB_HTTP_TLS_KEY",
        set: |draft, text, folder| path(&mut draft.key, text, folder),
        show: |draft| shown(&draft.key),
    },
    Key {
        name: "http.body-max",
        variable: "NETDB_HTTP_BODY_MAX",
        set: |draft, text, _| bytes(&mut draft.config.http.body_bytes_max, text),
        show: |draft| show_size(draft.config.http.body_bytes_max as u64),
    },
    Key {
        name: "http.bodies-max",
        variable: "NETDB_HTTP_BODIES_MAX",
        set: |draft, text, _| bytes(&mut draft.config.http.bodies_bytes_max, text),
        show: |draft| show_size(draft.config.http.bodies_bytes_max as u64),
    },
    Key {
        name: "http.requests-max",
        variable: "NETDB_HTTP_REQUESTS_MAX",
        set: |draft, text, _| put(&mut draft.config.http.requests_max, count(text)),
        show: |draft| draft.config.http.requests_max.to_string(),
    },
    Key {
        name: "http.streams-max",
        variable: "NETDB_HTTP_STREAMS_MAX",
        set: |draft, text, _| put(&mut draft.config.http.streams_max, count(text)),
        show: |draft| draft.config.http.streams_max.to_string(),
    },
    Key {
        name: "http.connections-max",
        variable: "NETDB_HTTP_CONNECTIONS_MAX",
        set: |draft, text, _| put(&mut draft.config.http.connections_max, count(text)),
        show: |draft| draft.config.http.connections_max.to_string(),
    },
    Key {
        name: "http.header-within",
        variable: "NETDB_HTTP_HEADER_WITHIN",
        set: |draft, text, _| put(&mut draft.config.http.header_within, duration(text)),
        show: |draft| show_duration(draft.config.http.header_within),
    },
    Key {
        name: "http.stall-within",
        variable: "NETDB_HTTP_STALL_WITHIN",
        set: |draft, text, _| put(&mut draft.config.http.stall_within, duration(text)),
        show: |draft| show_duration(draft.config.http.stall_within),
    },
    Key {
        name: "http.answer-within",
        variable: "NETDB_HTTP_ANSWER_WITHIN",
        set: |draft, text, _| put(&mut draft.config.http.answer_within, duration(text)),
        show: |draft| show_duration(draft.config.http.answer_within),
    },
    Key {
        name: "http.keep-alive",
        variable: "NETDB_HTTP_KEEP_ALIVE",
        set: |draft, text, _| put(&mut draft.config.http.keep_alive, duration(text)),
        show: |draft| show_duration(draft.config.http.keep_alive),
    },
    Key {
        name: "sql.statements-max",
        variable: "NETDB_SQL_STATEMENTS_MAX",
        set: |draft, text, _| put(&mut draft.config.sql.statements_max, count(text)),
        show: |draft| draft.config.sql.statements_max.to_string(),
    },
    Key {
        name: "sql.rows-max",
        variable: "NETDB_SQL_ROWS_MAX",
        set: |draft, text, _| put(&mut draft.config.sql.rows_max, count(text).map(|rows| rows as u64)),
        show: |draft| draft.config.sql.rows_max.to_string(),
    },
    Key {
        name: "sql.memory-max",
        variable: "NETDB_SQL_MEMORY_MAX",
        set: |draft, text, _| bytes(&mut draft.config.sql.memory_bytes, text),
        show: |draft| show_size(draft.config.sql.memory_bytes as u64),
    },
    Key {
        name: "sql.scanned-max",
        variable: "NETDB_SQL_SCANNED_MAX",
        set: |draft, text, _| put(&mut draft.config.sql.bytes_scanned_max, size(text)),
        show: |draft| show_size(draft.config.sql.bytes_scanned_max),
    },
    Key {
        name: "sql.time-max",
        variable: "NETDB_SQL_TIME_MAX",
        set: |draft, text, _| put(&mut draft.config.sql.time, duration(text)),
        show: |draft| show_duration(draft.config.sql.time),
    },
    Key {
        name: "blobs.collect-every",
        variable: "NETDB_BLOBS_COLLECT_EVERY",
        set: |draft, text, _| {
            let every = if text == "never" { None } else { Some(duration(text)?) };
            if every.is_some_and(|every| every.is_zero()) {
                return Err("collecting takes time itself: give more than none, or never".to_owned());
            }
            draft.config.blobs.collect_every = every;
            Ok(())
        },
        show: |draft| draft.config.blobs.collect_every.map_or_else(|| "never".to_owned(), show_duration),
    },
    Key {
        name: "blobs.collect-floor",
        variable: "NETDB_BLOBS_COLLECT_FLOOR",
        set: |draft, text, _| put(&mut draft.config.blobs.floor, duration(text)),
        show: |draft| show_duration(draft.config.blobs.floor),
    },
    Key {
        name: "blobs.quota",
        variable: "NETDB_BLOBS_QUOTA",
        set: |draft, text, _| {
            let quota = if text == "none" { None } else { Some(size(text)?) };
            if quota == Some(0) {
                return Err("a quota of 0 admits nothing: give more, or none".to_owned());
            }
            draft.config.blobs.quota = quota;
            Ok(())
        },
        show: |draft| draft.config.blobs.quota.map_or_else(|| "none".to_owned(), show_size),
    },
    Key {
        name: "mesh.listen",
        variable: "NETDB_MESH_LISTEN",
        set: |draft, text, _| {
            draft.listen_mesh = Some(address(text)?);
            Ok(())
        },
        show: |draft| draft.config.mesh.listen.to_string(),
    },
    Key {
        name: "mesh.advertise",
        variable: "NETDB_MESH_ADVERTISE",
        set: |draft, text, _| {
            draft.config.mesh.advertise = Some(address(text)?);
            Ok(())
        },
        show: |draft| draft.config.mesh.advertise.map_or_else(String::new, |address| address.to_string()),
    },
    Key {
        name: "mesh.name",
        variable: "NETDB_MESH_NAME",
        set: |draft, text, _| {
            if text.is_empty() || text.len() > NODE_NAME_BYTES_MAX {
                return Err(format!("a name of {} bytes: give 1 to {NODE_NAME_BYTES_MAX}", text.len()));
            }
            text.clone_into(&mut draft.config.mesh.name);
            Ok(())
        },
        show: |draft| draft.config.mesh.name.clone(),
    },
    Key {
        name: "mesh.replace-after",
        variable: "NETDB_MESH_REPLACE_AFTER",
        set: |draft, text, _| {
            let after = if text == "never" { None } else { Some(duration(text)?) };
            draft.config.mesh.replace_after = after;
            Ok(())
        },
        show: |draft| draft.config.mesh.replace_after.map_or_else(|| "never".to_owned(), show_duration),
    },
    Key {
        name: "mesh.peak",
        variable: "NETDB_MESH_PEAK",
        set: |draft, text, _| put(&mut draft.config.mesh.peak, peak(text)),
        show: |draft| match draft.config.mesh.peak {
            Peak::Unlimited => "none".to_owned(),
            Peak::Measured => "measured".to_owned(),
            Peak::Given(bytes) => show_size(bytes.get()),
        },
    },
    Key {
        name: "clients.listen",
        variable: "NETDB_CLIENTS_LISTEN",
        set: |draft, text, _| {
            draft.listen_clients = Some(address(text)?);
            Ok(())
        },
        show: |draft| draft.config.clients.to_string(),
    },
    Key {
        name: "shutdown-within",
        variable: "NETDB_SHUTDOWN_WITHIN",
        set: |draft, text, _| put(&mut draft.config.shutdown_within, duration(text)),
        show: |draft| show_duration(draft.config.shutdown_within),
    },
    Key {
        name: "log.filter",
        variable: "NETDB_LOG",
        set: |draft, text, _| {
            draft.config.log_filter = text.to_owned();
            Ok(())
        },
        show: |draft| draft.config.log_filter.clone(),
    },
    Key {
        name: "log.format",
        variable: "NETDB_LOG_FORMAT",
        set: |draft, text, _| put(&mut draft.config.log_format, log_format(text)),
        show: |draft| {
            match draft.config.log_format {
                LogFormat::Auto => "auto",
                LogFormat::Human => "human",
                LogFormat::Json => "json",
            }
            .to_owned()
        },
    },
];

/// Returns a key by its dotted name.
pub(super) fn named(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("`{text}` is no address: write it like 127.0.0.1:7700 or [::1]:7700"))
}

fn put<T>(place: &mut T, value: Result<T, String>) -> Result<(), String> {
    *place = value?;
    Ok(())
}

fn bytes(place: &mut usize, text: &str) -> Result<(), String> {
    let bytes = usize::try_from(size(text)?).map_err(|_| format!("`{text}` is more than fits in memory"))?;
    if bytes == 0 {
        return Err("a size of 0 admits nothing: give more".to_owned());
    }
    *place = bytes;
    Ok(())
}

fn peak(text: &str) -> Result<Peak, String> {
    let wrong = || {
        format!(
            "`{text}` is no peak: write bytes a second like 100MiB, and more than none, or none, or measured"
        )
    };
    match text {
        "none" => Ok(Peak::Unlimited),
        "measured" => Ok(Peak::Measured),
        size_text => {
            let bytes = size(size_text).ok().and_then(NonZeroU64::new);
            bytes.map(Peak::Given).ok_or_else(wrong)
        }
    }
}

fn path(place: &mut Option<PathBuf>, text: &str, folder: &Path) -> Result<(), String> {
    if text.is_empty() {
        return Err("the path is empty: name a file".to_owned());
    }
    *place = Some(folder.join(text));
    Ok(())
}

fn shown(path: &Option<PathBuf>) -> String {
    path.as_ref().map_or_else(String::new, |path| path.display().to_string())
}

fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "auto" => Ok(LogFormat::Auto),
        "human" => Ok(LogFormat::Human),
        "json" => Ok(LogFormat::Json),
        _ => Err(format!("`{text}` is no log format: give auto, human or json")),
    }
}
