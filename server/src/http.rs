//! The HTTP door: routes, what is asked of every request, and answers. The contract is `docs/http.md`.

mod answer;
mod append;
mod blobs;
mod body;
mod channels;
mod cluster;
mod consistency;
mod events;
mod form;
mod gate;

mod health;
mod listing;
mod memories;
mod params;
mod problem;
mod read;
mod records;
mod routes;
mod sql;
mod stream;
mod tail;
mod tasks;

pub(crate) use problem::Problem;
pub(crate) use routes::router;
