//! Which fields of a record hold kind, key, time and payload.

use std::str::FromStr;

use crate::attributes;

/// Which fields of a record hold kind, key, time and payload: the CloudEvents names, unless `--map` names
/// others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    pub(crate) kind: String,
    key: String,
    time: String,
    payload: String,
}

/// What a field of a record is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Kind,
    Key,
    Time,
    Payload,
    PayloadBase64,
    Channel,
    PackedHeaders,
    Blobs,
    Reserved,
    Header,
}

/// A `--map` that cannot be understood.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum MappingError {
    /// A part is no pair.
    #[error("`{0}` is not TARGET=FIELD: write for example `kind=event,key=user`")]
    NotAPair(String),
    /// There is no such target.
    #[error("unknown target `{0}`: use kind, key, time or payload")]
    Target(String),
    /// A target or a field comes twice.
    #[error("`{0}` is given twice")]
    Twice(String),
}

impl Default for Mapping {
    fn default() -> Self {
        Self {
            kind: attributes::KIND.to_owned(),
            key: attributes::KEY.to_owned(),
            time: attributes::TIME.to_owned(),
            payload: attributes::PAYLOAD.to_owned(),
        }
    }
}

impl FromStr for Mapping {
    type Err = MappingError;

    fn from_str(text: &str) -> Result<Self, MappingError> {
        let mut mapping = Self::default();
        let mut seen = Vec::new();
        for pair in text.split(',') {
            let (target, field) = pair
                .split_once('=')
                .filter(|(_, field)| !field.is_empty())
                .ok_or_else(|| MappingError::NotAPair(pair.to_owned()))?;
            if let Some(twice) = [target, field].iter().find(|name| seen.contains(*name)) {
                return Err(MappingError::Twice((*twice).to_owned()));
            }
            *mapping.field_mut(target)? = field.to_owned();
            seen.extend([target, field]);
        }
        Ok(mapping)
    }
}

impl Mapping {
    pub(crate) fn role(&self, field: &str) -> Role {
        match field {
            _ if field == self.kind => Role::Kind,
            _ if field == self.key => Role::Key,
            _ if field == self.time => Role::Time,
            _ if field == self.payload => Role::Payload,
            attributes::PAYLOAD_BASE64 if self.payload == attributes::PAYLOAD => Role::PayloadBase64,
            attributes::CHANNEL => Role::Channel,
            attributes::HEADERS => Role::PackedHeaders,
            attributes::BLOBS => Role::Blobs,
            attributes::VERBATIM => Role::Reserved,
            _ => Role::Header,
        }
    }

    fn field_mut(&mut self, target: &str) -> Result<&mut String, MappingError> {
        match target {
            "kind" => Ok(&mut self.kind),
            "key" => Ok(&mut self.key),
            "time" => Ok(&mut self.time),
            "payload" => Ok(&mut self.payload),
            _ => Err(MappingError::Target(target.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cloud_events_names_are_the_default() {
        let mapping = Mapping::default();
        assert_eq!(mapping.role("type"), Role::Kind);
        assert_eq!(mapping.role("data_base64"), Role::PayloadBase64);
        assert_eq!(mapping.role("id"), Role::Header);
    }

    #[test]
    fn mapped_names_replace_the_default_ones() {
        let mapping: Mapping = "kind=event,payload=body".parse().unwrap();
        assert_eq!(mapping.role("event"), Role::Kind);
        assert_eq!(mapping.role("type"), Role::Header);
        assert_eq!(mapping.role("subject"), Role::Key);
        assert_eq!(mapping.role("data_base64"), Role::Header);
        assert_eq!(mapping.role("netdbchannel"), Role::Channel);
    }

    #[test]
    fn mistakes_are_named() {
        let error = |text: &str| text.parse::<Mapping>().unwrap_err();
        assert_eq!(error(""), MappingError::NotAPair(String::new()));
        assert_eq!(error("kind="), MappingError::NotAPair("kind=".into()));
        assert_eq!(error("type=x"), MappingError::Target("type".into()));
        assert_eq!(error("kind=x,kind=y"), MappingError::Twice("kind".into()));
        assert_eq!(error("kind=x,key=x"), MappingError::Twice("x".into()));
    }
}
