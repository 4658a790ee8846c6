//! Making logs, and placing channels in them.
//!
//! A move is two entries: one in the old log that says where the channel goes on, and one in the new log that says
//! where it was. The first is durable before the second is staged; whoever finds the first without the second, such as
//! the next opening, makes the second. So the channel takes events in one log at a time, and its numbers go on.

use std::sync::MutexGuard;

use super::*;
use crate::codec::control::ArrivedRecord;
use crate::error::PlaceError;
use crate::log::{Home, Standing};
use crate::{Ack, Appended, ChannelConfig, Placement};

impl Store {
    pub(super) fn placing(&self) -> MutexGuard<'_, Placing> {
        self.shared.placing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a log. That it exists with the same configuration is as good.
    ///
    /// *Durability*: the log survives a power failure once this returns.
    ///
    /// # Errors
    ///
    /// [`PlaceError::ConfigMismatch`], [`PlaceError::Config`], [`PlaceError::Open`].
    pub fn create_log(&self, name: &LogName, config: &LogConfig) -> Result<Log, PlaceError> {
        let placing = self.placing();
        self.make_log(&placing, name, LogKind::Local, config).map(|(_, log)| log)
    }

    /// Makes a keyed log, which holds the newest event of each key of its channels and gives up everything else; see
    /// [`Log::keyed`]. Its events have keys, and one without payload deletes its key. That it exists is as good.
    ///
    /// *Durability*: the log survives a power failure once this returns.
    ///
    /// # Errors
    ///
    /// As [`create_log`](Self::create_log), with [`PlaceError::ConfigMismatch`] for a log of the name that is not keyed.
    ///
    /// # Examples
    ///
    /// ```
    /// # let store = redex::Store::open("data".as_ref(), &base::Doors::memory(), &redex::LogOptions::default())?;
    /// let (pins, name) = (base::ChannelName::new("pins")?, redex::LogName::new("names")?);
    /// let log = store.create_keyed_log(&name)?;
    /// store.create_channel(&pins, &redex::ChannelConfig::default(), &redex::Placement::Log(name))?;
    /// let pinned = redex::EventInput::new("pin.set", b"1").with_key("photo");
    /// log.append(&pins, &[pinned])?.wait(redex::Ack::Durable);
    /// let keyed = log.keyed().unwrap();
    /// assert_eq!(keyed.get(&pins, "photo").unwrap().payload, b"1");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn create_keyed_log(&self, name: &LogName) -> Result<Log, PlaceError> {
        let placing = self.placing();
        let (_, log) = self.make_log(&placing, name, LogKind::Keyed, &LogConfig::default())?;
        match log.keyed() {
            Some(_) => Ok(log),
            None => Err(PlaceError::ConfigMismatch { log: name.clone() }),
        }
    }

    fn make_log(
        &self,
        placing: &Placing,
        name: &LogName,
        kind: LogKind,
        config: &LogConfig,
    ) -> Result<(usize, Log), PlaceError> {
        if let Some((place, known)) = self.find(name) {
            return match known.config == *config {
                true => Ok((place, known.log)),
                false => Err(PlaceError::ConfigMismatch { log: name.clone() }),
            };
        }
        if let Some(fault) = config.fault() {
            return Err(PlaceError::Config { log: name.clone(), fault });
        }
        let shared = &self.shared;
        let lock = placing.lock.as_ref().ok_or(AppendError::Closed)?;
        let (disk, log_dir) = (&*shared.doors.disk, log_dir(&shared.dir, name.as_str()));
        // Durable in its directory before the superblock, with which the log begins to be there.
        disk.create_directories(&log_dir).map_err(OpenError::io(&log_dir))?;
        let logs_dir = logs::logs_dir(&shared.dir);
        disk.sync_directory(&logs_dir).map_err(OpenError::io(&logs_dir))?;
        configs::write_config(disk, &log_dir, config)?;
        let opening = Opening {
            dir: &shared.dir,
            doors: &shared.doors,
            options: &shared.options,
            identity: &shared.identity,
            lock,
            holder: &shared.holder,
        };
        let opened = opening.placed(name, kind, config.clone(), None)?;
        let log = opened.log.clone();
        let mut logs = shared.logs.write().unwrap_or_else(PoisonError::into_inner);
        logs.push(opened);
        let place = logs.len() - 1;
        drop(logs);
        shared.shelf.add(log.reader().clone());
        tracing::info!(log = name.as_str(), "log created");
        Ok((place, log))
    }

    /// Sets what a log keeps and how it is stored, from now on and whenever it is opened. For `main` it holds where
    /// [`LogOptions`] do not say otherwise.
    ///
    /// *Durability*: it survives a power failure once this returns.
    ///
    /// # Errors
    ///
    /// [`PlaceError::NoLog`], [`PlaceError::Config`]; [`PlaceError::OneChannel`] when the log has several channels and
    /// the configuration is for one; [`PlaceError::Open`] when the file cannot be written, and nothing changes.
    pub fn set_config(&self, name: &LogName, config: &LogConfig) -> Result<(), PlaceError> {
        let placing = self.placing();
        let (place, known) = self.find(name).ok_or_else(|| PlaceError::NoLog { log: name.clone() })?;
        if let Some(fault) = config.fault() {
            return Err(PlaceError::Config { log: name.clone(), fault });
        }
        if !name.is_main() && config.takes_one_channel() {
            let mut living =
                known.log.standings().into_iter().filter(|(_, standing)| standing.moved.is_none());
            if let (Some((channel, _)), Some((has, _))) = (living.next(), living.next()) {
                return Err(PlaceError::OneChannel { log: name.clone(), has, channel });
            }
        }
        let shared = &self.shared;
        configs::write_config(&*shared.doors.disk, &log_dir(&shared.dir, name.as_str()), config)?;
        let mut logs = shared.logs.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(opened) = logs.get_mut(place) {
            opened.config = config.clone();
        }
        drop(logs);
        let options = &shared.options;
        if !name.is_main() || options.retention.is_unlimited() {
            known.log.set_retention(config.retention.clone());
        }
        if !name.is_main() || options.compression == crate::Compression::None {
            known.log.set_compression(config.compression);
        }
        drop(placing);
        Ok(())
    }

    /// Creates a channel, which is placed in a log once and for all, or until it is moved; blocks until that is
    /// durable. That it exists there with the same configuration is as good.
    ///
    /// *Durability*: the channel survives a power failure once this returns. A crash before may leave the log that was
    /// made for it, without the channel.
    ///
    /// # Errors
    ///
    /// [`PlaceError::Append`] with [`Rejection::Elsewhere`] when the channel lives in another log, and with
    /// [`Rejection::ConfigMismatch`]; [`PlaceError::NoLog`], [`PlaceError::OneChannel`], [`PlaceError::ConfigMismatch`]
    /// when a log of the wanted name has another configuration; [`PlaceError::Open`].
    ///
    /// # Examples
    ///
    /// ```
    /// # let store = redex::Store::open("data".as_ref(), &base::Doors::memory(), &redex::LogOptions::default())?;
    /// let probes = base::ChannelName::new("probes")?;
    /// let keep = redex::LogConfig::keeping(redex::Retention::of_events(1_000));
    /// store.create_channel(&probes, &redex::ChannelConfig::default(), &redex::Placement::With(keep))?;
    /// store.append(&probes, &[redex::EventInput::new("probe.taken", b"7")])?.wait(redex::Ack::Durable);
    /// assert_ne!(store.log_of(&probes).reader().name(), "main");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn create_channel(
        &self,
        channel: &ChannelName,
        config: &ChannelConfig,
        placement: &Placement,
    ) -> Result<Appended, PlaceError> {
        let placing = self.placing();
        let known = self.log_of(channel);
        if known.standing(channel).is_some() {
            let log = known.place().name;
            return match log == self.target_name(channel, placement) {
                true => Ok(known.create_channel(channel, config)?.wait(Ack::Durable).into_result()?),
                false => Err(self.elsewhere(channel, log)),
            };
        }
        let (place, log) = self.target(&placing, channel, placement)?;
        match place {
            0 => Ok(log.create_channel(channel, config)?.wait(Ack::Durable).into_result()?),
            _ => self.create_placed(channel, config, place, &log),
        }
    }

    fn create_placed(
        &self,
        channel: &ChannelName,
        config: &ChannelConfig,
        place: usize,
        log: &Log,
    ) -> Result<Appended, PlaceError> {
        let (main, homes) = (&self.shared.main, &self.shared.homes);
        let name = log.place().name;
        let claim = || {
            let home = Home { place, log: name.clone() };
            // While `main` can create nothing of the name.
            let absent = main.while_absent(channel, || homes.set(channel, Some(home)));
            (!absent).then(|| Rejection::Elsewhere { channel: channel.clone(), log: LogName::main() })
        };
        let created =
            log.create_placed(channel, config, claim).map(|ticket| ticket.wait(Ack::Durable).into_result());
        let created = created.and_then(|created| created);
        if log.standing(channel).is_none_or(|standing| standing.moved.is_some()) {
            homes.set(channel, None);
        }
        Ok(created?)
    }

    /// Moves a channel, with all that comes after, to another log; what it has stays where it is, and is read from
    /// there. Blocks until that is durable. That it lives there already is as good.
    ///
    /// *Durability*: the channel's new place survives a power failure once this returns. A crash before leaves it where
    /// it was, or the next opening ends the move.
    ///
    /// # Errors
    ///
    /// [`PlaceError::Append`] with [`AppendError::Config`] from or to a keyed log; [`PlaceError::NoChannel`];
    /// [`PlaceError::WasThere`] for a log that the channel left before; otherwise as
    /// [`create_channel`](Self::create_channel). Where the new log could not be written, the move is ended by the next
    /// append to the channel, by repeating it, or by the next opening.
    pub fn move_channel(&self, channel: &ChannelName, to: &Placement) -> Result<(), PlaceError> {
        let placing = self.placing();
        if !self.end_move(channel)? {
            return Err(PlaceError::NoChannel { channel: channel.clone() });
        }
        let from = self.log_of(channel);
        if from.place().name == self.target_name(channel, to) {
            return Ok(());
        }
        let (place, log) = self.target(&placing, channel, to)?;
        if log.standing(channel).is_some() {
            return Err(PlaceError::WasThere { channel: channel.clone(), log: log.place().name });
        }
        if from.is_keyed() || log.is_keyed() {
            let fault = "a channel of a keyed log stays there, and no other comes to it".to_owned();
            return Err(AppendError::Config { channel: channel.clone(), fault }.into());
        }
        from.leave(channel, &log.place())?.wait(Ack::Durable).into_result()?;
        self.arrive(channel, &from, place, &log)
    }

    /// Ends a move that has begun, if it can be ended now; tells whether the channel takes events.
    pub(super) fn finish_move(&self, channel: &ChannelName) -> bool {
        let _placing = self.placing();
        self.end_move(channel).unwrap_or_else(|error| {
            tracing::warn!(%channel, %error, "move not ended");
            false
        })
    }

    /// Ends a move that has begun; tells whether there is such a channel.
    fn end_move(&self, channel: &ChannelName) -> Result<bool, PlaceError> {
        let from = self.log_of(channel);
        let has_left = |from: &Log| from.standing(channel).map(|standing| standing.moved);
        if let Some(Some(moved)) = has_left(&from)
            && !from.reader().visible().includes(moved.index)
        {
            // Whoever said so may have failed to make it durable.
            from.sync()?;
        }
        let Some(moved) = has_left(&from) else { return Ok(false) };
        let Some(moved) = moved else { return Ok(true) };
        let all = self.opened();
        let found = all.iter().enumerate().find(|(_, opened)| opened.log.reader().id() == moved.to.id);
        let Some((place, target)) = found else { return Err(PlaceError::NoLog { log: moved.to.name }) };
        self.arrive(channel, &from, place, &target.log)?;
        Ok(true)
    }

    /// Goes on in a log with a channel that another log has said to have left.
    fn arrive(&self, channel: &ChannelName, from: &Log, place: usize, log: &Log) -> Result<(), PlaceError> {
        let Some(Standing { next, config, moved: Some(moved), .. }) = from.standing(channel) else {
            return Err(PlaceError::NoChannel { channel: channel.clone() });
        };
        let record = ArrivedRecord {
            channel: channel.clone(),
            base: next,
            config,
            from: from.place(),
            position: moved.index.position_after(),
        };
        log.arrive(&record, moved.recorded_at)?.wait(Ack::Durable).into_result()?;
        let home = (place > 0).then(|| Home { place, log: log.place().name });
        self.shared.homes.set(channel, home);
        Ok(())
    }

    /// Returns the log of a placement, made if need be, and refuses one that has no room for the channel.
    fn target(
        &self,
        placing: &Placing,
        channel: &ChannelName,
        placement: &Placement,
    ) -> Result<(usize, Log), PlaceError> {
        let name = self.target_name(channel, placement);
        if name.is_main() {
            return Ok((0, self.shared.main.clone()));
        }
        let (place, log) = match placement {
            Placement::With(config) => self.make_log(placing, &name, LogKind::Local, config)?,
            _ => {
                let found = self.find(&name).map(|(place, opened)| (place, opened.log));
                found.ok_or_else(|| PlaceError::NoLog { log: name.clone() })?
            }
        };
        let one = self.config(&name).is_some_and(|config| config.takes_one_channel());
        match log.other_channel(channel).filter(|_| one) {
            Some(has) => Err(PlaceError::OneChannel { log: name, has, channel: channel.clone() }),
            None => Ok((place, log)),
        }
    }

    fn target_name(&self, channel: &ChannelName, placement: &Placement) -> LogName {
        match placement {
            Placement::With(config) if *config != LogConfig::default() => self.name_for(channel, config),
            Placement::Log(name) => name.clone(),
            Placement::Main | Placement::With(_) => LogName::main(),
        }
    }

    /// Names the log of a configuration: always the same for the same, so that what a crash left is found again.
    fn name_for(&self, channel: &ChannelName, config: &LogConfig) -> LogName {
        let own = config.takes_one_channel();
        let mut hasher = blake3::Hasher::new_derive_key("netdb redex 2026-11 log name");
        hasher.update(&crate::codec::log_config::encode(config));
        if own {
            hasher.update(channel.as_str().as_bytes());
        }
        let hex = hasher.finalize().to_hex();
        let plain = |byte: char| if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { '-' };
        let stem: String = match own {
            true => "own-".chars().chain(channel.as_str().chars().take(32).map(plain)).collect(),
            false => "shared".to_owned(),
        };
        let named = |suffix: &str| {
            LogName::new(&format!("{stem}-{}{suffix}", &hex[..12])).expect("all parts are plain")
        };
        // A log that the channel left does not take it again, and one may have been set to another configuration.
        let free = |name: &LogName| match self.find(name) {
            None => true,
            Some((_, known)) => {
                let left = known.log.standing(channel).is_some_and(|standing| standing.moved.is_some());
                known.config == *config && !left
            }
        };
        let numbered = (2..).map(|number: u32| named(&format!("-{number}")));
        std::iter::once(named("")).chain(numbered).find(free).expect("some number is free")
    }

    pub(super) fn elsewhere(&self, channel: &ChannelName, log: LogName) -> PlaceError {
        let reason = Rejection::Elsewhere { channel: channel.clone(), log };
        PlaceError::Append(AppendError::Rejected { reason, position: self.main().reader().visible() })
    }

    /// Finds where each channel lives when the logs were opened, and ends moves that a crash cut short.
    pub(super) fn find_homes(&self) {
        let all = self.opened();
        for (place, opened) in all.iter().enumerate().skip(1) {
            let name = opened.log.place().name;
            for (channel, _) in opened.log.standings().iter().filter(|(_, standing)| standing.moved.is_none())
            {
                let home = Home { place, log: name.clone() };
                if let Some(other) = self.shared.homes.get(channel) {
                    tracing::error!(%channel, %name, other = %other.log, "channel lives in two logs");
                }
                self.shared.homes.set(channel, Some(home));
            }
        }
        for (place, opened) in all.iter().enumerate().filter(|(_, opened)| opened.log.has_moves()) {
            for (channel, standing) in opened.log.standings() {
                if let Err(error) = self.settle_move(&all, place, &channel, &standing) {
                    tracing::warn!(%channel, %error, "move not ended");
                    // Nobody is to create it anew, with numbers that begin anew.
                    let home = (place > 0).then(|| Home { place, log: opened.log.place().name });
                    self.shared.homes.set(&channel, home);
                }
            }
        }
    }

    /// Sees to it that what a log says about a channel's move is in the other log, too.
    fn settle_move(
        &self,
        all: &[OpenLog],
        place: usize,
        channel: &ChannelName,
        standing: &Standing,
    ) -> Result<(), PlaceError> {
        let log = &all[place].log;
        let find = |id| all.iter().enumerate().find(|(_, opened)| opened.log.reader().id() == id);
        match standing {
            Standing { moved: Some(moved), .. } => match find(moved.to.id) {
                Some((target, to)) if to.log.standing(channel).is_none() => {
                    tracing::info!(%channel, to = %moved.to.name, "a move that a crash cut short is ended");
                    self.arrive(channel, log, target, &to.log)
                }
                Some(_) => Ok(()),
                None => Err(PlaceError::NoLog { log: moved.to.name.clone() }),
            },
            // The entry that says that it left was lost to corruption.
            Standing { arrived: Some(arrived), .. } => match find(arrived.from.id) {
                Some((_, from)) if from.log.standing(channel).is_some_and(|old| old.moved.is_none()) => {
                    tracing::warn!(%channel, from = %arrived.from.name, "a move that was lost is said again");
                    from.log.leave(channel, &log.place())?.wait(Ack::Durable).into_result()?;
                    let home = (place > 0).then(|| Home { place, log: log.place().name });
                    self.shared.homes.set(channel, home);
                    Ok(())
                }
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }
}
