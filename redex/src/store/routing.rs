//! Finding the log of a channel.

use super::*;
use crate::Redaction;
use crate::error::RedactError;
use crate::limits::REDACTION_EVENTS_MAX;
use crate::log::Home;

/// Where a request goes.
pub(super) enum Route {
    Own(Log),
    /// A log that others put in order.
    Attached(Arc<dyn LogWriter>),
    /// One that is not here.
    Away(Arc<dyn LogSender>),
}

impl Store {
    /// Returns the log of this node that a channel lives in: `main`, unless it was placed elsewhere. For a channel of an
    /// attached log that is `main`, too, which refuses it; see [`writer_of`](Self::writer_of).
    pub fn log_of(&self, channel: &ChannelName) -> Log {
        match self.shared.homes.get(channel) {
            None => self.shared.main.clone(),
            Some(Home { place, .. }) => self.at(place),
        }
    }

    pub(super) fn at(&self, place: usize) -> Log {
        let logs = self.shared.logs.read().unwrap_or_else(PoisonError::into_inner);
        logs.get(place).map_or_else(|| self.shared.main.clone(), |opened| opened.log.clone())
    }

    /// Appends events to one channel, atomically, in the log that it lives in; a channel that does not exist is created
    /// in `main`.
    ///
    /// *Durability*: none yet; wait for the ticket.
    ///
    /// # Errors
    ///
    /// As [`Log::append`].
    pub fn append(&self, channel: &ChannelName, events: &[EventInput<'_>]) -> Result<Ticket, AppendError> {
        self.submit(&AppendRequest {
            parts: &[ChannelEvents { channel, events }],
            ..AppendRequest::default()
        })
    }

    /// Appends to any number of channels of one log, atomically and under conditions.
    ///
    /// A repetition is recognised also when the append stands in a log that one of the channels left since.
    ///
    /// # Errors
    ///
    /// As [`Log::submit`], and [`AppendError::SeveralLogs`] when the channels, those of conditions included, live in
    /// several logs; nothing is staged then.
    pub fn submit(&self, request: &AppendRequest<'_>) -> Result<Ticket, AppendError> {
        if self.shared.homes.is_empty() {
            let ticket = self.shared.main.submit(request)?;
            return if self.left(&ticket) { self.submit_routed(request) } else { Ok(ticket) };
        }
        self.submit_routed(request)
    }

    /// Tells whether [`submit`](Self::submit) would wait for the disk: so much is staged in the request's log that some of it
    /// has to be written first. In a log that others put in order it never waits.
    pub fn would_wait(&self, request: &AppendRequest<'_>) -> bool {
        match self.route(request) {
            Ok(Route::Own(log)) => request.check().is_ok_and(|size| log.would_wait(size.bytes)),
            Ok(Route::Attached(_) | Route::Away(_)) | Err(_) => false,
        }
    }

    fn submit_routed(&self, request: &AppendRequest<'_>) -> Result<Ticket, AppendError> {
        loop {
            let log = match self.route(request)? {
                Route::Own(log) => log,
                Route::Attached(writer) => return writer.submit(request),
                Route::Away(sender) => return sender.submit(request),
            };
            let earlier = match request.idempotency {
                Idempotency::None => None,
                idempotency if log.remembers(idempotency) => None,
                _ => self.earlier_log(&log, request),
            };
            let ticket = earlier.unwrap_or(log).submit(request)?;
            if !self.left(&ticket) {
                return Ok(ticket);
            }
        }
    }

    /// Tells whether an append was refused since a channel was just about to leave, and now has.
    fn left(&self, ticket: &Ticket) -> bool {
        match ticket.staged() {
            Some(Outcome::Rejected { reason: Rejection::Moved { channel, .. }, .. }) => {
                self.finish_move(channel)
            }
            _ => false,
        }
    }

    /// Returns the one log of a request.
    fn route(&self, request: &AppendRequest<'_>) -> Result<Route, AppendError> {
        let parts = request.parts.iter().map(|part| part.channel);
        let mut channels = parts.chain(request.conditions.iter().map(|condition| &condition.channel));
        let Some(first) = channels.next() else { return Ok(Route::Own(self.shared.main.clone())) };
        let home = self.shared.homes.get(first);
        for second in channels {
            let other = self.shared.homes.get(second);
            if other != home {
                let name = |home: Option<Home>| home.map_or_else(LogName::main, |home| home.log);
                let (first, second) = (first.clone(), second.clone());
                return Err(AppendError::SeveralLogs { first, log: name(home), second, other: name(other) });
            }
        }
        let Some(home) = home else { return Ok(Route::Own(self.shared.main.clone())) };
        Ok(self.route_to_others(&home)?.unwrap_or_else(|| Route::Own(self.at(home.place))))
    }

    /// Returns the log that remembers a request, among those that its channels were in before.
    fn earlier_log(&self, log: &Log, request: &AppendRequest<'_>) -> Option<Log> {
        let mut channels = request.parts.iter().map(|part| part.channel);
        channels.find_map(|channel| {
            self.earlier_logs(log, channel).into_iter().find(|log| log.remembers(request.idempotency))
        })
    }

    /// Returns the logs that a channel was in before it came to one, the newest first.
    fn earlier_logs(&self, log: &Log, channel: &ChannelName) -> Vec<Log> {
        let all = self.opened();
        let mut earlier: Vec<Log> = Vec::new();
        let mut arrived = log.standing(channel).and_then(|standing| standing.arrived);
        while let Some(from) = arrived {
            let found = all.iter().map(|opened| &opened.log).find(|log| log.reader().id() == from.from.id);
            // A log is left once.
            let Some(found) =
                found.filter(|found| earlier.len() < all.len() && found.reader().id() != log.reader().id())
            else {
                break;
            };
            arrived = found.standing(channel).and_then(|standing| standing.arrived);
            earlier.push(found.clone());
        }
        earlier
    }

    /// Returns a producer's last append to the log of a channel, or to one that the channel was in before; staged ones
    /// included. `None` for an unknown producer.
    pub fn producer(&self, channel: &ChannelName, id: &str) -> Option<ProducerState> {
        if let Some(writer) = self.attached_home(channel) {
            return writer.producer(id);
        }
        let log = self.log_of(channel);
        let earlier = self.earlier_logs(&log, channel);
        std::iter::once(&log).chain(&earlier).find_map(|log| log.producer(id))
    }

    /// Takes events out of an erasable channel, in whichever of its logs they stand; see [`Log::redact`]. Where they stand
    /// in several, each log has a record of its own, and an error may come behind what was done in others.
    ///
    /// # Errors
    ///
    /// As [`Log::redact`].
    pub fn redact(
        &self,
        channel: &ChannelName,
        seqs: impl IntoIterator<Item = u64>,
        reason: &str,
    ) -> Result<Redaction, RedactError> {
        let log = self.log_of(channel);
        let earlier = self.earlier_logs(&log, channel);
        if earlier.is_empty() {
            return log.redact(channel, seqs, reason);
        }
        log.sync()?;
        // The newest part is asked for what stands nowhere else, and says so.
        let mut rest: Vec<u64> = seqs.into_iter().take(REDACTION_EVENTS_MAX + 1).collect();
        let mut parts = Vec::new();
        for log in earlier {
            let Some(part) = log.reader().view().channel(channel)? else { continue };
            let stands = |seq: &u64| (part.first_seq.0..part.next_seq.0).contains(seq);
            let (own, others) = rest.into_iter().partition::<Vec<u64>, _>(stands);
            parts.push((log, own));
            rest = others;
        }
        parts.push((log, rest));
        let (mut events, mut index) = (0, None);
        for (log, own) in parts.into_iter().rev().filter(|(_, own)| !own.is_empty()) {
            let done = log.redact(channel, own, reason)?;
            events += done.events;
            index = index.or(done.index);
        }
        Ok(Redaction { index, events })
    }

    /// Follows the selected events of all logs; see [`StoreReader::tail`].
    pub fn tail(&self, selection: Selection) -> StoreTail {
        self.reader().tail(selection)
    }
}
