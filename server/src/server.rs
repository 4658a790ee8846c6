//! The process: listeners, the database behind them, and the order in which they begin and end.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use netdb::base::{Disk, Doors};
use netdb::cluster::{self, Cluster, ClusterOptions};
use netdb::{Error, NetDb};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::access::{Access, make_token};
use crate::clients::ClientDoor;
use crate::config::missing_for;
use crate::connections::{Door, serve};
use crate::engine::Engine;
use crate::keeping::Keeping;
use crate::local::LocalServer;
use crate::metrics::Metrics;
use crate::shared::Shared;
use crate::{Config, Role, ServeError, StopReport, Token, http, metered, tls};

/// A server that is about to begin.
#[derive(Debug)]
pub struct Server;

/// A server that runs. [`stop`](Self::stop) ends it in order; dropping it ends it, too, but nobody waits for that.
#[derive(Debug)]
pub struct Running {
    http: SocketAddr,
    shared: Arc<Shared>,
    doors: Vec<JoinHandle<usize>>,
    /// Gives what is to be closed.
    opening: Option<JoinHandle<Option<Opened>>>,
    opened: Option<oneshot::Receiver<Result<(), ServeError>>>,
}

impl Server {
    /// Takes the addresses, answers how the server is from then on, and begins to open the database by `open`, on a
    /// thread that may block. `open` gets doors whose disk is measured; models that it opens are tables and have
    /// endpoints.
    ///
    /// Needs a tokio runtime with timers and sockets.
    ///
    /// # Errors
    ///
    /// [`ServeError::Exposed`] for an address off loopback without TLS or tokens; [`ServeError::Tls`];
    /// [`ServeError::Bind`]; [`ServeError::Threads`]. What goes wrong with the database is told by [`Running::opened`].
    ///
    /// # Examples
    ///
    /// ```
    /// use netdb::NetDb;
    /// use netdb::base::Doors;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut config = server::Config::default();
    /// config.http.listen = "127.0.0.1:0".parse()?;
    /// config.clients = config.http.listen;
    /// let open = |doors: Doors| NetDb::builder().in_memory().doors(doors).with_tasks().open();
    /// let mut running = server::Server::start(config, Doors::memory(), open).await?;
    /// running.opened().await?;
    /// assert_ne!(running.http().port(), 0);
    /// assert_eq!(running.stop().await?.connections_cut, 0);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn start(
        config: Config,
        doors: Doors,
        open: impl FnOnce(Doors) -> Result<NetDb, Error> + Send + 'static,
    ) -> Result<Running, ServeError> {
        let listen = config.http.listen;
        if let Some(message) = missing_for(listen, config.http.tls.is_some(), !config.tokens.is_empty()) {
            return Err(ServeError::Exposed { message });
        }
        let tls = config.http.tls.as_ref().map(|files| tls::acceptor(&*doors.disk, files)).transpose()?;
        let has_tls = tls.is_some();
        let mut listening = vec![Door { listener: bind(listen).await?, tls, is_local_only: false }];
        let http = local_address(&listening[0], listen)?;
        let mut local = http;
        if has_tls {
            // Programs on this machine speak no TLS; they have a door of their own.
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            let door = Door { listener: bind(address).await?, tls: None, is_local_only: true };
            local = local_address(&door, address)?;
            listening.push(door);
        }
        let secret = make_token(&*doors.random);
        let access = Access::new(&config.tokens, Token::new("local", Role::Admin, &secret));
        let metrics = Arc::new(Metrics::new());
        let slots = Arc::new(Semaphore::new(config.http.connections_max.min(Semaphore::MAX_PERMITS)));
        let engine = Engine::start().map_err(|source| ServeError::Threads { source })?;
        let shared = Arc::new(Shared::new(config, doors.clone(), access, Arc::clone(&metrics), engine));
        let router = http::router(&shared);
        let serving = listening
            .into_iter()
            .map(|door| tokio::spawn(serve(door, router.clone(), Arc::clone(&shared), Arc::clone(&slots))));
        let serving = serving.collect();
        let (tell, opened) = oneshot::channel();
        let opening = Opening { shared: Arc::clone(&shared), local: LocalServer::new(local, secret), tell };
        let opening = tokio::spawn(opening.run(move || open(metered::doors(&doors, &metrics))));
        info!(address = %http, tls = has_tls, "http listens");
        Ok(Running { http, shared, doors: serving, opening: Some(opening), opened: Some(opened) })
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|source| ServeError::Bind { address, source })
}

fn local_address(door: &Door, address: SocketAddr) -> Result<SocketAddr, ServeError> {
    door.listener.local_addr().map_err(|source| ServeError::Bind { address, source })
}

/// A database, and who looks after its blobs.
#[derive(Debug)]
struct Opened {
    db: NetDb,
    keeping: Option<Keeping>,
}

/// What becomes of opening the database.
struct Opening {
    shared: Arc<Shared>,
    local: LocalServer,
    tell: oneshot::Sender<Result<(), ServeError>>,
}

impl Opening {
    async fn run(self, open: impl FnOnce() -> Result<NetDb, Error> + Send + 'static) -> Option<Opened> {
        let opened = match tokio::task::spawn_blocking(open).await {
            Ok(opened) => opened,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        };
        let (told, opened) = match opened {
            Err(error) => {
                self.shared.failed(&error);
                (Err(error.into()), None)
            }
            Ok(db) => match self.take_part(&db).await {
                Err(error) => {
                    self.shared.failed(&error);
                    (Err(error.into()), Some(Opened { db, keeping: None }))
                }
                Ok(()) => {
                    self.shared.metrics.watch(db.clone());
                    self.shared.opened(&db);
                    let keeping = self.keep(&db);
                    (self.leave_word(&db), Some(Opened { db, keeping }))
                }
            },
        };
        // Whoever does not ask learns from the answers.
        let _ = self.tell.send(told);
        opened
    }

    /// Begins to look after blobs.
    fn keep(&self, db: &NetDb) -> Option<Keeping> {
        let clock = Arc::clone(&self.shared.doors.clock);
        let started = Keeping::start(db.clone(), clock, self.shared.config.blobs);
        started.inspect_err(|error| warn!(%error, "no thread to look after blobs")).ok()
    }

    /// Takes part in the cluster that the directory belongs to, if it does to one.
    async fn take_part(&self, db: &NetDb) -> Result<(), Error> {
        let doors = &self.shared.doors;
        if cluster::is_member(db.store().dir(), &*doors.disk)? {
            self.join(db).await?;
        }
        let door = ClientDoor::open(&self.shared, db, self.shared.config.clients)?;
        info!(address = %door.session().address, "clients are listened to");
        self.shared.opened_to_clients(door);
        Ok(())
    }

    async fn join(&self, db: &NetDb) -> Result<(), Error> {
        let mesh = &self.shared.config.mesh;
        let mut options = ClusterOptions::new(mesh.listen, &mesh.name);
        options.advertise = mesh.advertise;
        options.replace_after = mesh.replace_after;
        options.peak = mesh.peak;
        let cluster = Cluster::start(db, &options).await?;
        info!(cluster = %cluster.id(), node = %cluster.node(), address = %cluster.address(), "mesh listens");
        self.shared.joined(cluster);
        Ok(())
    }

    /// Tells programs on this machine how to reach the server.
    fn leave_word(&self, db: &NetDb) -> Result<(), ServeError> {
        let disk = &*self.shared.doors.disk;
        if disk.is_volatile() {
            return Ok(());
        }
        let directory = db.store().dir();
        self.local
            .write(disk, directory)
            .map_err(|source| ServeError::Local { path: directory.join(crate::LOCAL_FILE), source })
    }
}

impl Running {
    /// Returns the address of the HTTP door, with the port that it got.
    pub fn http(&self) -> SocketAddr {
        self.http
    }

    /// Completes once the database is open, which is when requests are answered.
    ///
    /// *Cancel safety*: dropping the future loses nothing; the next call goes on.
    ///
    /// # Errors
    ///
    /// [`ServeError::Open`] when it could not be opened, [`ServeError::Local`]; the server answers that it is not ready
    /// until it is stopped. After the first answer there are none.
    pub async fn opened(&mut self) -> Result<(), ServeError> {
        let Some(opened) = &mut self.opened else { return Ok(()) };
        let told = opened.await;
        self.opened = None;
        // Without a word the opening panicked, which `stop` passes on.
        told.unwrap_or(Ok(()))
    }

    /// Stops in order: not ready, no new connections, streams end, requests get their answers within
    /// `shutdown-within`, then the database is closed, with its record of a clean close.
    ///
    /// *Durability*: everything that was acknowledged as durable is; what was staged is made durable.
    ///
    /// # Errors
    ///
    /// [`ServeError::Close`] when the disk failed.
    pub async fn stop(mut self) -> Result<StopReport, ServeError> {
        self.shared.stop();
        let mut connections_cut = 0;
        for door in std::mem::take(&mut self.doors) {
            connections_cut += resumed(door.await);
        }
        if connections_cut > 0 {
            warn!(connections_cut, "requests were cut off");
        }
        let opened = match self.opening.take() {
            Some(opening) => resumed(opening.await),
            None => None,
        };
        let (db, keeping) = opened.map_or((None, None), |opened| (Some(opened.db), opened.keeping));
        if let Some(keeping) = keeping {
            resumed(tokio::task::spawn_blocking(move || keeping.stop()).await);
        }
        if let Some(door) = self.shared.clients() {
            door.close().await;
        }
        if let Some(cluster) = self.shared.cluster()
            && let Err(cause) = cluster.stop().await
        {
            warn!(%cause, "a replica was not closed cleanly");
        }
        if let Some(db) = db {
            self.shared.close();
            let disk: &dyn Disk = &*self.shared.doors.disk;
            if !disk.is_volatile()
                && let Err(cause) = LocalServer::remove(disk, db.store().dir())
            {
                warn!(%cause, "the file for local programs stays");
            }
            db.close_async().await.map_err(|source| ServeError::Close { source })?;
            info!("closed");
        }
        Ok(StopReport { connections_cut })
    }
}

fn resumed<T: Default>(joined: Result<T, tokio::task::JoinError>) -> T {
    match joined {
        Ok(value) => value,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => T::default(),
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("config", &self.config).finish_non_exhaustive()
    }
}
