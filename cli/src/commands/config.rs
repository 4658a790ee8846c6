//! `net-db config`

use server::{ConfigError, Flags, Loaded, Sources, hash_token, make_token};

use crate::arguments::{ConfigCommand, ConfigPlace, TokenArguments};
use crate::context::Context;
use crate::exit::{Code, Failure};
use crate::output::Cell;

pub(super) fn run(context: &Context, command: ConfigCommand) -> Result<(), Failure> {
    match command {
        ConfigCommand::Show(place) => show(context, &place),
        ConfigCommand::Token(arguments) => token(context, &arguments),
    }
}

/// Puts the configuration together; all its faults are one failure of usage.
pub(super) fn load(context: &Context, place: &ConfigPlace) -> Result<Loaded, Failure> {
    // A name that is no text is none of ours; a value that is none cannot be right.
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.to_string_lossy().into_owned())));
    let mut flags = Flags::default();
    flags.listen_http.clone_from(&place.listen_http);
    flags.listen_mesh.clone_from(&place.listen_mesh);
    flags.port_base.clone_from(&place.port_base);
    flags.log_format.clone_from(&place.log_format);
    let sources = Sources {
        disk: &*context.doors.disk,
        directory: &context.directory,
        file: place.config.as_deref(),
        environment: environment.collect(),
        flags,
    };
    server::load(&sources).map_err(|error: ConfigError| Failure::new(Code::Usage, error))
}

fn show(context: &Context, place: &ConfigPlace) -> Result<(), Failure> {
    let mut rows = context.rows(&["key", "value", "source"])?;
    for (key, value, source) in load(context, place)?.settings {
        rows.row(&[Cell::Text(key.into()), Cell::Text(value.into()), Cell::display(source)])?;
    }
    Ok(rows.finish()?)
}

fn token(context: &Context, arguments: &TokenArguments) -> Result<(), Failure> {
    let token = make_token(&*context.doors.random);
    let hash = hash_token(&token);
    context.record(&[
        ("name", Cell::Text(arguments.name.as_str().into())),
        ("role", Cell::display(arguments.role)),
        ("token", Cell::Text(token.into())),
        ("hash", Cell::Text(hash.as_str().into())),
    ])?;
    context.note(format_args!(
        "the token is shown this once; put into net-db.toml:\n[[auth.tokens]]\nname = \"{}\"\nrole = \"{}\"\nhash = \"{hash}\"",
        arguments.name, arguments.role
    ));
    Ok(())
}
