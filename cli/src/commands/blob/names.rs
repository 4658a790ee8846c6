//! `net-db blob name ...`

use netdb::blob::Named;

use super::open_all;
use crate::arguments::NameCommand;
use crate::context::Context;
use crate::exit::{Code, Failure};
use crate::output::Cell;

/// Names that are read at once.
const PAGE: usize = 1_000;

pub(super) fn run(context: &Context, command: NameCommand) -> Result<(), Failure> {
    let (_writer, blobs) = open_all(context)?;
    let pins = blobs.pins();
    let missing = |name: &str| {
        Failure::new(Code::NotFound, format!("no blob is named `{name}`"))
            .hint("`net-db blob name ls` lists those that are there")
    };
    match command {
        NameCommand::Set(arguments) => {
            if let Some(before) = pins.set_name(&arguments.name, &arguments.blob.hash)? {
                context.note(format_args!("it stood for {} before", before.hash));
            }
            Ok(())
        }
        NameCommand::Rm(arguments) => match pins.remove_name(&arguments.name)? {
            Some(_) => Ok(()),
            None => Err(missing(&arguments.name)),
        },
        NameCommand::Get(arguments) => {
            let named = pins.name(&arguments.name).ok_or_else(|| missing(&arguments.name))?;
            let [name, hash, named_at] = fields(&arguments.name, &named);
            Ok(context.record(&[("name", name), ("hash", hash), ("named_at", named_at)])?)
        }
        NameCommand::Ls(arguments) => {
            let mut rows = context.rows(&["name", "hash", "named_at"])?;
            let mut after: Option<String> = None;
            loop {
                let page = pins.names(&arguments.prefix, after.as_deref(), PAGE);
                for (name, named) in &page {
                    rows.row(&fields(name, named))?;
                }
                match page.into_iter().next_back() {
                    Some((name, _)) => after = Some(name),
                    None => return Ok(rows.finish()?),
                }
            }
        }
    }
}

fn fields<'a>(name: &'a str, named: &Named) -> [Cell<'a>; 3] {
    [Cell::Text(name.into()), Cell::display(named.hash), Cell::display(named.named_at)]
}
