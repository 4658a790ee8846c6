//! What surrounds a statement in the engine: settings, functions, memory, and no files.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use datafusion::common::config::Dialect;
use datafusion::error::Result;
use datafusion::execution::FunctionRegistry;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, GreedyMemoryPool, MemoryPool, TrackConsumersPool};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::execution::{SessionState, TaskContext};
use datafusion::prelude::SessionConfig;

use super::GatewayOptions;
use super::json::JsonPaths;
use crate::Limits;
use crate::catalog::{CATALOG, Catalog, PUBLIC};
use crate::limits::BATCH_ROWS;

/// Consumers of memory that an error names.
const CONSUMERS_NAMED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(2);

/// Makes what all statements share.
pub(super) fn base(options: &GatewayOptions) -> SessionState {
    let mut config = SessionConfig::new()
        .with_default_catalog_and_schema(CATALOG, PUBLIC)
        .with_create_default_catalog_and_schema(false)
        .with_information_schema(true)
        .with_batch_size(BATCH_ROWS);
    if let Some(threads) = options.threads {
        config = config.with_target_partitions(threads.max(1));
    }
    // In the generic dialect `->>` binds looser than `=`.
    config.options_mut().sql_parser.dialect = Dialect::PostgreSQL;
    let mut state = SessionStateBuilder::new()
        .with_config(config)
        .with_default_features()
        .with_file_formats(Vec::new())
        .with_table_factories(HashMap::new())
        .build();
    // Planners are asked in the order in which they are registered.
    let registered = state
        .register_expr_planner(Arc::new(JsonPaths))
        .and_then(|()| datafusion_functions_json::register_all(&mut state));
    registered.expect("a session state registers every function and planner that it is given");
    state
}

/// Makes the session of one statement.
pub(super) fn begin(base: &SessionState, catalog: Catalog) -> SessionState {
    let mut state = base.clone();
    state.register_catalog_list(Arc::new(catalog));
    state.mark_start_execution();
    state
}

/// Makes what the statement's operators run in: their memory, and where they may put what exceeds it.
pub(super) fn task(
    state: &SessionState,
    options: &GatewayOptions,
    limits: &Limits,
) -> Result<Arc<TaskContext>> {
    let runtime = Arc::new(runtime(options, limits)?);
    // By default the engine registers the file system of the machine.
    runtime.deregister_object_store(ObjectStoreUrl::local_filesystem().as_ref())?;
    Ok(Arc::new(TaskContext::from(state).with_runtime(runtime)))
}

fn runtime(options: &GatewayOptions, limits: &Limits) -> Result<RuntimeEnv> {
    let disk = match &options.spill_directory {
        Some(directory) => DiskManagerMode::Directories(vec![directory.clone()]),
        None => DiskManagerMode::Disabled,
    };
    let pool: Arc<dyn MemoryPool> = match &options.spill_directory {
        Some(_) => {
            Arc::new(TrackConsumersPool::new(FairSpillPool::new(limits.memory_bytes), CONSUMERS_NAMED))
        }
        None => {
            Arc::new(TrackConsumersPool::new(GreedyMemoryPool::new(limits.memory_bytes), CONSUMERS_NAMED))
        }
    };
    RuntimeEnvBuilder::new()
        .with_memory_pool(pool)
        .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(disk))
        .build()
}
