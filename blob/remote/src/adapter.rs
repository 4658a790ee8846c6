//! The adapter over an object store.

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base::{Clock, Hash, SystemClock, Timestamp};
use blob::adapter::{AdapterName, BlobAdapter, ListQuery, ObjectName, ObjectStat};
use blob::limits::CHUNK_BYTES_MAX;
use blob::{BlobError, ObjectKind};
use futures::TryStreamExt;
use futures::stream::BoxStream;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    ClientOptions, GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutPayload, RetryConfig,
};

use crate::address::{Address, Bucket};
use crate::directory::{Directory, STAGING};
use crate::failure::{backend, of_object, of_store, status};
use crate::limits::STAGED_SECONDS_MAX;
use crate::options::RemoteOptions;
use crate::runtime::OwnRuntime;

/// Variables that say where credentials come from; one of them must be there.
const CREDENTIALS: [&str; 5] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_SKIP_SIGNATURE",
];

const STORE: &str = "store an object";
const FETCH: &str = "fetch an object";
const LOOK: &str = "look at an object";
const REMOVE: &str = "remove an object";
const LIST: &str = "list objects";
const OPEN: &str = "open its store";

/// An adapter over an object store: each object under the key `PREFIX/ab/cdef..`, two digits of its name and the other 62.
///
/// Objects that it stored are there: it looks before it says so. One that is there already is read and compared, and replaced where
/// it is damaged. Several processes may use one bucket or directory at the same time.
pub struct ObjectStoreAdapter {
    name: AdapterName,
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    /// Where it is a directory of this machine.
    directory: Option<Directory>,
    /// Whether objects can be created on the condition that they are not there, as far as is known.
    has_conditional_put: AtomicBool,
    /// Whether lists come in the order of keys.
    lists_in_order: bool,
    runtime: OwnRuntime,
}

impl fmt::Debug for ObjectStoreAdapter {
    /// What is below may hold credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("ObjectStoreAdapter");
        shown.field("name", &self.name).field("prefix", &self.prefix.as_ref()).finish_non_exhaustive()
    }
}

impl ObjectStoreAdapter {
    /// Opens the object store at a URL: `memory:`, `file:///directory`, or
    /// `s3://bucket/prefix?endpoint=..&region=..&virtual-hosted=..&conditional-put=..`, with all settings optional. Nothing is asked of
    /// a server; [`check`](Self::check) does that.
    ///
    /// Credentials come from the environment only: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`, or
    /// `AWS_WEB_IDENTITY_TOKEN_FILE` or `AWS_CONTAINER_CREDENTIALS_*`; `AWS_SKIP_SIGNATURE=true` does without. Other `AWS_*` variables
    /// (`AWS_REGION`, `AWS_ENDPOINT_URL`, `AWS_ALLOW_HTTP`, `AWS_PROXY_URL`) count where the URL says nothing. They are never logged.
    ///
    /// # Errors
    ///
    /// [`BlobError::Backend`] for a URL or settings that cannot be, and for a directory that cannot be made;
    /// [`BlobError::Unauthorized`] without credentials.
    pub fn open(url: &str, options: RemoteOptions) -> Result<Self, BlobError> {
        let variables = std::env::vars_os();
        let variables =
            variables.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Self::open_with_environment(url, options, variables)
    }

    /// Opens an object store as [`open`](Self::open), with other variables than those of this process.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_with_environment(
        url: &str,
        options: RemoteOptions,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, BlobError> {
        let fallback = options.name.as_ref().map_or("object-store", |name| &name.id).to_owned();
        let address = Address::parse(url).map_err(|error| backend(&fallback, OPEN, false, error))?;
        let name = options.name.clone();
        let name = name.unwrap_or_else(|| AdapterName::new(address.id(), address.scheme()));
        let failed = |error| of_store(&name.id, OPEN, error);
        let broken = |error: std::io::Error| {
            let source = object_store::Error::Generic { store: "directory", source: error.into() };
            of_store(&name.id, OPEN, source)
        };
        let runtime = OwnRuntime::start().map_err(broken)?;
        let mut adapter = Self {
            store: Arc::new(InMemory::new()),
            prefix: Path::default(),
            directory: None,
            has_conditional_put: AtomicBool::new(true),
            lists_in_order: true,
            runtime,
            name: name.clone(),
        };
        match address {
            Address::Memory => {}
            Address::Directory(dir) => {
                adapter.directory = Some(Directory::open(&dir).map_err(broken)?);
                adapter.store = Arc::new(LocalFileSystem::new_with_prefix(&dir).map_err(failed)?);
                adapter.lists_in_order = false;
                adapter.remove_what_is_left()?;
            }
            Address::S3(bucket) => {
                adapter.prefix = bucket.prefix.clone();
                adapter.has_conditional_put = AtomicBool::new(bucket.has_conditional_put);
                adapter.store = s3(&name.id, bucket, &options, variables)?;
            }
        }
        Ok(adapter)
    }

    /// Asks whether the store is there and lets us list objects.
    ///
    /// # Errors
    ///
    /// [`BlobError::Backend`], [`BlobError::Unauthorized`].
    pub fn check(&self) -> Result<(), BlobError> {
        self.list_objects(&ListQuery::new(1)).map(drop)
    }

    /// Removes what was staged by processes that are gone.
    fn remove_what_is_left(&self) -> Result<(), BlobError> {
        let staging = Path::from(STAGING);
        let store = Arc::clone(&self.store);
        let staged =
            self.wait(OPEN, async move { store.list(Some(&staging)).try_collect::<Vec<_>>().await })?;
        let now = SystemClock.now().as_nanos() / 1_000_000_000;
        for ObjectMeta { location, last_modified, .. } in staged.map_err(|error| self.failed(OPEN, error))? {
            if now - last_modified.timestamp() < STAGED_SECONDS_MAX {
                continue;
            }
            let store = Arc::clone(&self.store);
            match self.wait(OPEN, async move { store.delete(&location).await })? {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(self.failed(OPEN, error)),
            }
        }
        Ok(())
    }

    fn key(&self, name: &ObjectName) -> Path {
        let [first, rest] = name.path();
        self.prefix.clone().join(first).join(rest)
    }

    fn wait<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, BlobError> {
        self.runtime.wait(work).map_err(|error| backend(&self.name.id, operation, false, error))
    }

    fn failed(&self, operation: &'static str, error: object_store::Error) -> BlobError {
        of_store(&self.name.id, operation, error)
    }

    /// Returns what the store says of a key; `None` where it has nothing.
    fn head(&self, operation: &'static str, name: &ObjectName) -> Result<Option<ObjectMeta>, BlobError> {
        let (store, key) = (Arc::clone(&self.store), self.key(name));
        match self.wait(operation, async move { store.head(&key).await })? {
            Ok(meta) => Ok(Some(meta)),
            Err(error) => match of_object(&self.name.id, operation, name.hash, error) {
                BlobError::NotFound { .. } => Ok(None),
                error => Err(error),
            },
        }
    }

    fn put(&self, key: Path, content: &PutPayload, mode: PutMode) -> Result<Put, BlobError> {
        let (store, content) = (Arc::clone(&self.store), content.clone());
        let is_conditional = mode == PutMode::Create;
        match self.wait(STORE, async move { store.put_opts(&key, content, mode.into()).await })? {
            Ok(_) => Ok(Put::Done),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(Put::IsThere),
            Err(error) if is_conditional && status(&error) == Some(501) => Ok(Put::NoCondition),
            Err(error) => Err(self.failed(STORE, error)),
        }
    }

    /// Stores an object unless it is there, whole.
    fn put_in_bucket(&self, name: &ObjectName, content: &[u8]) -> Result<(), BlobError> {
        let payload = PutPayload::from(content.to_vec());
        if self.has_conditional_put.load(Ordering::Relaxed) {
            match self.put(self.key(name), &payload, PutMode::Create)? {
                Put::Done => return Ok(()),
                Put::IsThere => {}
                Put::NoCondition => {
                    tracing::warn!(adapter = self.name.id, "the store creates nothing on condition");
                    self.has_conditional_put.store(false, Ordering::Relaxed);
                }
            }
        }
        if self.has(name, content)? {
            return Ok(());
        }
        match self.put(self.key(name), &payload, PutMode::Overwrite)? {
            Put::Done => Ok(()),
            Put::IsThere | Put::NoCondition => Err(backend(&self.name.id, STORE, true, "it was refused")),
        }
    }

    /// Stores an object unless it is there, whole; durable once this returns.
    fn put_in_directory(
        &self,
        directory: &Directory,
        name: &ObjectName,
        content: &[u8],
    ) -> Result<(), BlobError> {
        let path = name.path();
        let written = match self.has(name, content)? {
            // Whoever put it may not have come so far.
            true => directory.sync(&path[0]),
            false => directory.write(&path, content),
        };
        written.map_err(|error| {
            self.failed(STORE, object_store::Error::Generic { store: "directory", source: error.into() })
        })
    }

    /// Returns the keys among which those are that a query asks for.
    fn keys(&self, query: &ListQuery) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        let digits = query.prefix();
        let below = match digits.get(..2) {
            Some(first) => self.prefix.clone().join(first),
            None => self.prefix.clone(),
        };
        // Less than a whole name, so that no key is the same.
        let begin = match digits.len() {
            1 => Some(self.prefix.clone().join(digits)),
            3..64 => Some(below.clone().join(&digits[2..])),
            _ => None,
        };
        let bound = query.bound().map(|hash| self.key(&ObjectName { kind: ObjectKind::Chunk, hash }));
        match begin.max(bound) {
            Some(behind) => self.store.list_with_offset(Some(&below), &behind),
            None => self.store.list(Some(&below)),
        }
    }

    /// Tells whether an object is there with this content.
    fn has(&self, name: &ObjectName, content: &[u8]) -> Result<bool, BlobError> {
        match self.fetch_object(name) {
            Ok(stored) if stored == content => Ok(true),
            Ok(_) | Err(BlobError::TooLarge { .. }) => {
                tracing::warn!(adapter = self.name.id, name = %name.hash, "a damaged object is written anew");
                Ok(false)
            }
            Err(BlobError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// What became of a put.
enum Put {
    Done,
    /// Something is there, or somebody else is at it.
    IsThere,
    /// The store cannot create on condition.
    NoCondition,
}

impl BlobAdapter for ObjectStoreAdapter {
    fn adapter_id(&self) -> &str {
        &self.name.id
    }

    fn accepted_schemes(&self) -> &[String] {
        &self.name.schemes
    }

    /// Stores an object, and looks whether it is there.
    ///
    /// *Durability*: what the object store gives; in a directory it survives a power failure once this returns.
    fn store_object(&self, name: &ObjectName, content: &[u8]) -> Result<(), BlobError> {
        match &self.directory {
            Some(directory) => self.put_in_directory(directory, name, content)?,
            None => self.put_in_bucket(name, content)?,
        }
        let (expected, found) = (content.len() as u64, self.head(STORE, name)?.map(|meta| meta.size));
        match found {
            Some(found) if found == expected => Ok(()),
            Some(found) => {
                let said = format!("it has {found} bytes of an object that was stored with {expected}");
                Err(backend(&self.name.id, STORE, true, said))
            }
            None => {
                Err(backend(&self.name.id, STORE, true, "it said that an object is stored, and has none"))
            }
        }
    }

    fn fetch_object(&self, name: &ObjectName) -> Result<Vec<u8>, BlobError> {
        let (store, key) = (Arc::clone(&self.store), self.key(name));
        let fetched = self.wait(FETCH, async move {
            let found = store.get_opts(&key, GetOptions::default()).await?;
            if found.meta.size > CHUNK_BYTES_MAX as u64 {
                return Ok(None);
            }
            let mut content = Vec::with_capacity(found.meta.size as usize);
            let mut pieces = found.into_stream();
            while let Some(piece) = pieces.try_next().await? {
                if content.len() + piece.len() > CHUNK_BYTES_MAX {
                    return Ok(None);
                }
                content.extend_from_slice(&piece);
            }
            Ok(Some(content))
        })?;
        let fetched = fetched.map_err(|error| of_object(&self.name.id, FETCH, name.hash, error))?;
        fetched.ok_or(BlobError::TooLarge { max: CHUNK_BYTES_MAX as u64 })
    }

    fn stat_object(&self, name: &ObjectName) -> Result<Option<ObjectStat>, BlobError> {
        let stat = |meta: ObjectMeta| ObjectStat {
            bytes: meta.size,
            stored_at: meta.last_modified.timestamp_nanos_opt().map(Timestamp::from_nanos),
        };
        Ok(self.head(LOOK, name)?.map(stat))
    }

    /// Removes an object; whether it was there is asked before, since object stores do not say.
    fn delete_object(&self, name: &ObjectName) -> Result<bool, BlobError> {
        if self.head(REMOVE, name)?.is_none() {
            return Ok(false);
        }
        let (store, key) = (Arc::clone(&self.store), self.key(name));
        match self.wait(REMOVE, async move { store.delete(&key).await })? {
            Ok(()) => {}
            Err(object_store::Error::NotFound { .. }) => return Ok(false),
            Err(error) => return Err(self.failed(REMOVE, error)),
        }
        if let Some(directory) = &self.directory {
            let [first, _] = name.path();
            directory.sync(&first).map_err(|error| backend(&self.name.id, REMOVE, true, error))?;
        }
        Ok(true)
    }

    fn list_objects(&self, query: &ListQuery) -> Result<Vec<Hash>, BlobError> {
        let mut keys = self.keys(query);
        let (prefix, query, in_order) = (self.prefix.clone(), query.clone(), self.lists_in_order);
        let listed = self.wait(LIST, async move {
            let mut found = BTreeSet::new();
            while let Some(meta) = keys.try_next().await? {
                let Some(name) = name_of(&prefix, &meta.location) else { continue };
                if query.matches(&name) {
                    found.insert(name);
                } else if in_order && *name.to_string() > *query.prefix() {
                    break;
                }
                if found.len() > query.limit() {
                    found.pop_last();
                }
                if in_order && found.len() == query.limit() {
                    break;
                }
            }
            Ok(found.into_iter().collect())
        })?;
        listed.map_err(|error| self.failed(LIST, error))
    }
}

/// Returns the name whose key this is.
fn name_of(prefix: &Path, key: &Path) -> Option<Hash> {
    let mut parts = key.prefix_match(prefix)?;
    let (first, rest) = (parts.next()?, parts.next()?);
    let hash = ObjectName::hash_at([first.as_ref(), rest.as_ref()])?;
    parts.next().is_none().then_some(hash)
}

/// Makes the client of a bucket.
fn s3(
    id: &str,
    bucket: Bucket,
    options: &RemoteOptions,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<Arc<dyn ObjectStore>, BlobError> {
    let mut client = ClientOptions::new()
        .with_connect_timeout(options.connect_timeout)
        .with_timeout(options.request_timeout);
    if bucket.endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http:")) {
        client = client.with_allow_http(true);
    }
    let mut builder = AmazonS3Builder::new().with_client_options(client);
    let mut has_credentials = false;
    for (name, value) in variables {
        has_credentials |= CREDENTIALS.contains(&&*name) && !value.is_empty();
        if name.starts_with("AWS_")
            && let Ok(key) = name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>()
        {
            builder = builder.with_config(key, value);
        }
    }
    if !has_credentials {
        tracing::warn!(adapter = id, "the environment has no credentials, such as AWS_ACCESS_KEY_ID");
        return Err(BlobError::Unauthorized { adapter: id.to_owned(), operation: OPEN });
    }
    if let Some(region) = bucket.region {
        builder = builder.with_region(region);
    }
    if let Some(endpoint) = bucket.endpoint {
        // Of the two variables that name one, this is the stronger.
        builder = builder.with_endpoint(&endpoint).with_config(AmazonS3ConfigKey::S3Endpoint, endpoint);
    }
    let condition = match bucket.has_conditional_put {
        true => S3ConditionalPut::ETagMatch,
        false => S3ConditionalPut::Disabled,
    };
    let retry = RetryConfig {
        max_retries: options.retries_max,
        retry_timeout: options.retry_timeout,
        ..RetryConfig::default()
    };
    let built = builder
        .with_bucket_name(bucket.bucket)
        .with_virtual_hosted_style_request(bucket.is_virtual_hosted)
        .with_conditional_put(condition)
        .with_retry(retry)
        .build();
    match built {
        Ok(store) => Ok(Arc::new(store)),
        Err(error) => Err(of_store(id, OPEN, error)),
    }
}
