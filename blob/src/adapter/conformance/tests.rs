use std::sync::Barrier;

use base::Hash;

use super::*;
use crate::adapter::{ListQuery, NoopAdapter, ObjectStat, unsupported};
use crate::object::ObjectKind;

/// What an adapter does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Defect {
    None,
    NoId,
    NoSchemes,
    BadScheme,
    GivesNothingForWhatIsMissing,
    KnowsWhatIsMissing,
    FailsToRemoveWhatIsMissing,
    SaysThatItRemoved,
    RemovesNothing,
    RemovesNeighbours,
    TellsOtherLengths,
    CutsLargeObjects,
    LosesEmptyObjects,
    LosesLists,
    FlipsABit,
    RefusesWhatIsThere,
    KeepsWhatHasTheSameLength,
    FailsAtTheSameTime,
    ListsWithoutOrder,
    ListsWithoutLimit,
    ListsWithoutPrefix,
    ListsTheBound,
    ListsNothing,
    RemovesOnlyChunks,
    /// What follows says that nothing can be removed.
    OnlyKeeps,
    RemovesAllTheSame,
    SaysNothingOfWhatItCannotRemove,
    OnlyKeepsAndLosesLists,
}

#[derive(Debug)]
struct Wrong {
    inner: MemoryAdapter,
    defect: Defect,
    id: String,
    schemes: Vec<String>,
    two: Barrier,
}

impl Wrong {
    fn new(defect: Defect) -> Self {
        let scheme = if defect == Defect::BadScheme { "No Scheme" } else { "wrong" };
        Self {
            inner: MemoryAdapter::new(),
            defect,
            id: if defect == Defect::NoId { String::new() } else { "wrong".to_owned() },
            schemes: if defect == Defect::NoSchemes { Vec::new() } else { vec![scheme.to_owned()] },
            two: Barrier::new(2),
        }
    }

    fn broken<T>(&self) -> Result<T, BlobError> {
        let source = io::Error::other("it does not work").into();
        Err(BlobError::Backend { adapter: self.id.clone(), operation: "work", can_repeat: true, source })
    }
}

impl BlobAdapter for Wrong {
    fn adapter_id(&self) -> &str {
        &self.id
    }

    fn accepted_schemes(&self) -> &[String] {
        &self.schemes
    }

    fn store_object(&self, name: &ObjectName, content: &[u8]) -> Result<(), BlobError> {
        let there = self.inner.stat_object(name)?.map(|stat| stat.bytes);
        match self.defect {
            Defect::CutsLargeObjects if content.len() > 1 << 20 => {
                self.inner.store_object(name, &content[..1 << 20])
            }
            Defect::LosesEmptyObjects if content.is_empty() => Ok(()),
            Defect::LosesLists | Defect::OnlyKeepsAndLosesLists if name.kind == ObjectKind::Node => Ok(()),
            Defect::FlipsABit if content.len() == 1 => self.inner.store_object(name, &[content[0] ^ 1]),
            Defect::RefusesWhatIsThere if there.is_some() => self.broken(),
            Defect::KeepsWhatHasTheSameLength if there == Some(content.len() as u64) => Ok(()),
            Defect::FailsAtTheSameTime
                if name.hash == Hash::of(&samples::noise("shared", 300_000))
                    && self.two.wait().is_leader() =>
            {
                self.broken()
            }
            _ => self.inner.store_object(name, content),
        }
    }

    fn fetch_object(&self, name: &ObjectName) -> Result<Vec<u8>, BlobError> {
        match (self.inner.fetch_object(name), self.defect) {
            (Err(_), Defect::GivesNothingForWhatIsMissing) => Ok(Vec::new()),
            (fetched, _) => fetched,
        }
    }

    fn stat_object(&self, name: &ObjectName) -> Result<Option<ObjectStat>, BlobError> {
        let bytes = self.inner.stat_object(name)?.map(|stat| stat.bytes);
        let bytes = match self.defect {
            Defect::KnowsWhatIsMissing => bytes.or(Some(0)),
            Defect::TellsOtherLengths => bytes.map(|bytes| bytes + 1),
            _ => bytes,
        };
        Ok(bytes.map(|bytes| ObjectStat { bytes, stored_at: None }))
    }

    fn delete_object(&self, name: &ObjectName) -> Result<bool, BlobError> {
        match self.defect {
            Defect::FailsToRemoveWhatIsMissing if self.inner.stat_object(name)?.is_none() => self.broken(),
            Defect::SaysThatItRemoved => self.inner.delete_object(name).map(|_| true),
            Defect::RemovesNothing => Ok(self.inner.stat_object(name)?.is_some()),
            Defect::RemovesOnlyChunks if name.kind == ObjectKind::Node => {
                Ok(self.inner.stat_object(name)?.is_some())
            }
            Defect::RemovesNeighbours => {
                for hash in self.inner.list_objects(&ListQuery::new(usize::MAX))? {
                    self.inner.delete_object(&ObjectName { hash, ..*name })?;
                }
                Ok(true)
            }
            Defect::OnlyKeeps | Defect::OnlyKeepsAndLosesLists => Err(unsupported("wrong", "remove")),
            Defect::RemovesAllTheSame => {
                self.inner.delete_object(name)?;
                Err(unsupported("wrong", "remove"))
            }
            Defect::SaysNothingOfWhatItCannotRemove => Ok(false),
            _ => self.inner.delete_object(name),
        }
    }

    fn supports_delete(&self) -> bool {
        use Defect::{OnlyKeeps, OnlyKeepsAndLosesLists, RemovesAllTheSame, SaysNothingOfWhatItCannotRemove};
        let only_keeps =
            [OnlyKeeps, RemovesAllTheSame, SaysNothingOfWhatItCannotRemove, OnlyKeepsAndLosesLists];
        !only_keeps.contains(&self.defect)
    }

    fn list_objects(&self, query: &ListQuery) -> Result<Vec<Hash>, BlobError> {
        let mut all = self.inner.list_objects(&ListQuery::new(usize::MAX))?;
        match self.defect {
            Defect::ListsWithoutOrder => {
                all.reverse();
                all.retain(|name| query.matches(name));
            }
            Defect::ListsWithoutLimit => return Ok(all),
            Defect::ListsWithoutPrefix => all.retain(|name| query.bound().is_none_or(|bound| *name > bound)),
            Defect::ListsTheBound => {
                all.retain(|name| query.matches(name) || query.bound() == Some(*name));
            }
            Defect::ListsNothing => all.clear(),
            _ => return self.inner.list_objects(query),
        }
        all.truncate(query.limit());
        Ok(all)
    }
}

/// Returns the facts that do not hold with a defect.
fn facts(defect: Defect) -> Vec<&'static str> {
    faults(Arc::new(Wrong::new(defect)), None).into_iter().map(|fault| fault.fact).collect()
}

#[test]
fn an_adapter_without_defect_has_no_faults() {
    assert_eq!(facts(Defect::None), [""; 0]);
    assert_eq!(facts(Defect::OnlyKeeps), [""; 0]);
}

#[test]
fn each_defect_is_found_by_the_check_for_it() {
    for (defect, fact) in [
        (Defect::NoId, "an adapter has"),
        (Defect::NoSchemes, "an adapter has"),
        (Defect::BadScheme, "an adapter has"),
        (Defect::GivesNothingForWhatIsMissing, "what is missing"),
        (Defect::KnowsWhatIsMissing, "what is missing"),
        (Defect::FailsToRemoveWhatIsMissing, "what is missing"),
        (Defect::SaysThatItRemoved, "what is missing"),
        (Defect::SaysThatItRemoved, "removing says"),
        (Defect::RemovesNothing, "removing says"),
        (Defect::RemovesNothing, "blobs are removed"),
        (Defect::RemovesNeighbours, "removing says"),
        (Defect::RemovesOnlyChunks, "blobs are removed"),
        (Defect::RemovesOnlyChunks, "a blob without one of its parts"),
        (Defect::RemovesAllTheSame, "removing says"),
        (Defect::RemovesAllTheSame, "blobs are removed"),
        (Defect::SaysNothingOfWhatItCannotRemove, "removing says"),
        (Defect::SaysNothingOfWhatItCannotRemove, "blobs are removed"),
        (Defect::OnlyKeepsAndLosesLists, "a blob without one of its parts"),
        (Defect::TellsOtherLengths, "objects come back"),
        (Defect::CutsLargeObjects, "an object of 16 MiB"),
        (Defect::LosesEmptyObjects, "objects come back"),
        (Defect::LosesEmptyObjects, "blobs of each form"),
        (Defect::LosesLists, "blobs of each form"),
        (Defect::LosesLists, "ranges are"),
        (Defect::FlipsABit, "objects come back"),
        (Defect::FlipsABit, "blobs of each form"),
        (Defect::RefusesWhatIsThere, "objects come back"),
        (Defect::KeepsWhatHasTheSameLength, "an object that has another content"),
        (Defect::FailsAtTheSameTime, "objects may be stored at the same time"),
        (Defect::ListsWithoutOrder, "lists are"),
        (Defect::ListsWithoutLimit, "lists are"),
        (Defect::ListsWithoutPrefix, "lists are"),
        (Defect::ListsTheBound, "lists are"),
        (Defect::ListsNothing, "lists are"),
    ] {
        let found = facts(defect);
        assert!(found.iter().any(|found| found.starts_with(fact)), "{defect:?} is not found: {found:?}");
    }
}

#[test]
fn what_keeps_nothing_is_found_wherever_something_must_be_kept() {
    let found: Vec<_> = faults(Arc::new(NoopAdapter::new()), None).iter().map(|fault| fault.fact).collect();
    assert!(found.len() > 9, "{found:?}");
    assert!(
        !found.iter().any(|fact| fact.starts_with("what is missing") || fact.starts_with("an adapter has"))
    );
}

/// A hook that damages nothing, and one that damages more than storing again mends, are both found.
#[test]
fn damage_that_is_not_found_or_not_mended_is_a_fault() {
    let adapter = || Arc::new(MemoryAdapter::new());
    let nothing = |_: &ObjectName| Ok(());
    let [fault] = &faults(adapter(), Some(&nothing))[..] else { panic!("one fault was expected") };
    assert!(fault.to_string().starts_with("damage to what is stored is found"), "{fault}");
    let shared = adapter();
    let everything = |_: &ObjectName| {
        for hash in shared.list_objects(&ListQuery::new(usize::MAX)).map_err(io::Error::other)? {
            let name = ObjectName { kind: ObjectKind::Chunk, hash };
            shared.store_object(&name, b"damaged").map_err(io::Error::other)?;
        }
        Ok(())
    };
    let found = faults(Arc::clone(&shared) as Arc<dyn BlobAdapter>, Some(&everything));
    assert!(found.iter().any(|fault| fault.fact.starts_with("damage to")), "{found:?}");
}
