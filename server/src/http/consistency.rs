//! How fresh a read is: as this node has it, or as new as anything that was acknowledged before; and up to where it saw.

use std::fmt::Write as _;
use std::str::FromStr;

use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use netdb::base::ChannelName;
use netdb::redex::{ChannelHistory, StoreView};

use super::Problem;
use super::params::Params;
use crate::shared::Shared;

/// Says up to where an answer saw each log: `orders-log=12, main=7`.
const POSITION: HeaderName = HeaderName::from_static("netdb-position");
/// Logs that are named at most.
const LOGS_MAX: usize = 100;

/// How fresh a read is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Consistency {
    /// What this node has: committed, and maybe not the newest.
    #[default]
    Local,
    /// Everything that was acknowledged, by any node, before the read began.
    Linearizable,
}

impl FromStr for Consistency {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "local" => Ok(Self::Local),
            "linearizable" => Ok(Self::Linearizable),
            _ => Err("give local or linearizable".to_owned()),
        }
    }
}

impl Consistency {
    /// Takes the parameter `consistency`.
    pub(super) fn take(params: &mut Params) -> Result<Self, Problem> {
        Ok(params.value("consistency")?.unwrap_or_default())
    }

    /// Waits until this node shows what a read of a channel, or of everything, must show.
    pub(super) async fn wait(self, shared: &Shared, channel: Option<&ChannelName>) -> Result<(), Problem> {
        // What a node puts in order itself is visible once it is acknowledged.
        let (Self::Linearizable, Some(cluster)) = (self, shared.cluster()) else { return Ok(()) };
        match channel {
            Some(channel) => cluster.catch_up_with(channel).await?,
            None => cluster.catch_up().await?,
        }
        Ok(())
    }
}

/// Where a view stands: in all logs, or in the one in which a channel lives.
#[derive(Debug, Clone, Default)]
pub(super) struct Positions(Option<HeaderValue>);

impl Positions {
    pub(super) fn of(view: &StoreView, channel: Option<&ChannelHistory>) -> Self {
        let living = channel.map(|channel| channel.living().log.as_str());
        let mut text = String::new();
        let logs = view.logs().iter().filter(|log| living.is_none_or(|living| log.name() == living));
        for log in logs.take(LOGS_MAX) {
            let separator = if text.is_empty() { "" } else { ", " };
            let _ = write!(text, "{separator}{}={}", log.name(), log.position());
        }
        Self(HeaderValue::try_from(text).ok())
    }

    /// Says in an answer that it saw at least so much.
    pub(super) fn tell(self, mut answer: Response) -> Response {
        if let Some(value) = self.0 {
            answer.headers_mut().insert(POSITION, value);
        }
        answer
    }
}
