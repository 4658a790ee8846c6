//! Which lines earlier runs of an import have made durable.

use netdb::redex::Store;

use crate::context::Target;
use crate::exit::{Code, Failure};
use crate::remote::Numbered;
use records::Skipped;

/// One import as the log remembers it.
///
/// An import that was run with `--again` is remembered beside the earlier one under the next free
/// generation of its id: `ID`, `ID~2`, `ID~3`. A plain run goes on with the newest generation.
pub(crate) struct Producer {
    pub(crate) id: String,
    state: Option<Numbered>,
}

impl Producer {
    /// The newest generation of an import.
    pub(crate) fn newest(target: &Target, id: &str) -> Result<Self, Failure> {
        let newest = generations(target, id)?.pop();
        Ok(newest.unwrap_or_else(|| Self { id: id.to_owned(), state: None }))
    }

    /// A generation that has imported nothing.
    pub(crate) fn again(target: &Target, id: &str) -> Result<Self, Failure> {
        Ok(Self { id: generation(id, generations(target, id)?.len()), state: None })
    }

    /// The number of the last line that earlier runs imported; 0 when there were none.
    pub(super) fn last_line(&self) -> u64 {
        self.state.as_ref().map_or(0, |state| state.number)
    }

    /// Fails when the input no longer begins with the lines that were imported.
    pub(super) fn check(&self, skipped: &Skipped, name: &str) -> Result<(), Failure> {
        match &self.state {
            Some(state) if skipped.lines < state.number => {
                let (lines, number) = (skipped.lines, state.number);
                Err(self
                    .conflict(format!("{name} has {lines} lines, but {number} were imported from it before")))
            }
            Some(state) if skipped.digest != state.digest => {
                let number = state.number;
                Err(self
                    .conflict(format!("the first {number} lines of {name} are not those imported before")))
            }
            _ => Ok(()),
        }
    }

    fn conflict(&self, message: String) -> Failure {
        Failure::new(Code::Conflict, message).hint(format_args!(
            "import it anew with `--again`, or as something else with `--id ID` (this id is `{}`)",
            self.id
        ))
    }
}

/// The generations of an import that the logs know, oldest first.
fn generations(target: &Target, id: &str) -> Result<Vec<Producer>, Failure> {
    let mut found = Vec::new();
    loop {
        let id = generation(id, found.len());
        let state = match target {
            Target::Here(store) => known(store, &id),
            Target::There(remote) => remote.producer(&id)?,
        };
        match state {
            Some(state) => found.push(Producer { id, state: Some(state) }),
            None => return Ok(found),
        }
    }
}

/// A log gets a batch only once those before it are durable in theirs: the last number tells for all.
fn known(store: &Store, id: &str) -> Option<Numbered> {
    let states = store.logs().into_iter().filter_map(|log| log.producer(id));
    let newest = states.max_by_key(|state| state.number)?;
    Some(Numbered { number: newest.number, digest: newest.digest })
}

fn generation(id: &str, place: usize) -> String {
    if place == 0 { id.to_owned() } else { format!("{id}~{}", place + 1) }
}

#[cfg(test)]
mod tests {
    use netdb::base::Hash;

    use super::*;

    #[test]
    fn generations_are_counted_from_two() {
        assert_eq!([0, 1, 2].map(|place| generation("x", place)), ["x", "x~2", "x~3"]);
    }

    #[test]
    fn nothing_imported_before_matches_any_input() {
        let producer = Producer { id: "x".to_owned(), state: None };
        let skipped = Skipped { lines: 0, records: 0, digest: Hash::of(b"") };
        assert!(producer.check(&skipped, "file").is_ok());
    }
}
