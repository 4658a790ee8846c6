//! Fields of what places channels in logs.

use base::{Index, LogId, Position, Seq};

use super::Choices;
use crate::codec::control::LogPlace;
use crate::state::{ArrivedState, MovedState};
use crate::{Compression, LogConfig, LogName, Retention};

impl Choices<'_> {
    pub(super) fn place(&mut self) -> LogPlace {
        let name = format!("log-{}", self.u32());
        LogPlace { id: LogId::from_bytes(self.array()), name: LogName::new(&name).expect("it is plain") }
    }

    pub(super) fn moved(&mut self) -> MovedState {
        MovedState { to: self.place(), index: Index(self.number()), recorded_at: self.time() }
    }

    pub(super) fn arrived(&mut self) -> ArrivedState {
        let (from, position) = (self.place(), Position(self.number()));
        ArrivedState { from, position, first: Seq(self.number()) }
    }

    pub(super) fn log_config(&mut self) -> LogConfig {
        let retention = Retention {
            events: self.flag().then(|| self.number()),
            bytes: self.flag().then(|| self.number()),
            age: self.flag().then(|| std::time::Duration::from_nanos(self.number())),
        };
        let compression = match self.below(3) {
            0 => Compression::None,
            1 => Compression::Lz4,
            _ => Compression::Zstd,
        };
        LogConfig { retention, compression, one_channel: self.flag() }
    }
}
