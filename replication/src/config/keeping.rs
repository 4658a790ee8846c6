//! A retention as it is written: with milliseconds.

use std::time::Duration;

use redex::Retention;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Serialize, Deserialize, Default)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct Written {
    #[serde(skip_serializing_if = "Option::is_none")]
    events: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    age_ms: Option<u64>,
}

pub(super) fn serialize<S: Serializer>(retention: &Retention, to: S) -> Result<S::Ok, S::Error> {
    let age_ms = retention.age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
    Written { events: retention.events, bytes: retention.bytes, age_ms }.serialize(to)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Retention, D::Error> {
    let Written { events, bytes, age_ms } = Written::deserialize(from)?;
    let mut retention = Retention::default();
    (retention.events, retention.bytes) = (events, bytes);
    retention.age = age_ms.map(Duration::from_millis);
    Ok(retention)
}
