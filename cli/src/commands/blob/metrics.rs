//! `net-db blob metrics`

use netdb::blob::ObjectPlace;

use super::open_all;
use crate::context::Context;
use crate::exit::Failure;
use crate::output::Cell;
use crate::remote::Remote;

/// What the names of a server's metrics begin with that are of blobs.
const OF_BLOBS: [&str; 2] = ["dataforts_blob", "netdb_blob"];

/// Tells what there is; what is counted over time is counted by a server.
pub(super) fn here(context: &Context) -> Result<(), Failure> {
    let (_writer, blobs) = open_all(context)?;
    let store = blobs.store();
    let (mut objects, mut bytes, mut damaged) = (0, 0, 0);
    for hash in store.objects().list()? {
        match store.objects().info(&hash) {
            Ok(Some(info)) if info.place != ObjectPlace::Away => {
                objects += 1;
                bytes += info.bytes;
            }
            Ok(_) => {}
            Err(_) => damaged += 1,
        }
    }
    let status = blobs.overflow_status()?;
    let (mut rows, number) = (context.rows(&["metric", "value"])?, Cell::Number);
    for (name, value) in [
        ("netdb_blobs", number(store.list().len() as u64)),
        ("netdb_blob_objects", number(objects)),
        ("netdb_blob_object_bytes", number(bytes)),
        ("netdb_blob_objects_unreadable", number(damaged)),
        ("netdb_blob_stored_bytes", number(store.objects().stored_bytes()?)),
        ("netdb_blob_pins", number(blobs.pins().len() as u64)),
        ("netdb_blob_away_chunks", number(status.away.chunks)),
        ("netdb_blob_away_bytes", number(status.away.bytes)),
        ("dataforts_blob_disk_used_bytes", number(status.disk.used)),
        ("dataforts_blob_disk_capacity_bytes", number(status.disk.capacity)),
        ("dataforts_blob_overflow_disk_ratio", Cell::Json(format!("{:.3}", status.disk.ratio()).into())),
    ] {
        rows.row(&[Cell::Text(name.into()), value])?;
    }
    Ok(rows.finish()?)
}

/// Tells what a server counts of blobs.
pub(super) fn through(context: &Context, remote: &Remote) -> Result<(), Failure> {
    let text = remote.text("/metrics")?;
    let mut rows = context.rows(&["metric", "value"])?;
    for line in text.lines().filter(|line| OF_BLOBS.iter().any(|name| line.starts_with(name))) {
        let Some((name, value)) = line.rsplit_once(' ') else { continue };
        rows.row(&[Cell::Text(name.replace("{adapter=\"own\"}", "").into()), Cell::Json(value.into())])?;
    }
    Ok(rows.finish()?)
}
