//! The decoders of `blob`: any bytes, altered valid ones, and structures made of any fields.

use blob::fuzzing::{Choices, Structure};
use bolero::{check, produce};
use netdb_fuzz::alter::{Plan, alter};
use netdb_fuzz::corpus;
use netdb_fuzz::meter::within_bounds;

/// Reads bytes, within the memory they justify. What is accepted gives the same bytes when it is encoded again, or at
/// least what it then gives stays as it is.
fn read(structure: Structure, bytes: &[u8]) -> bool {
    let Some(accepted) = within_bounds(bytes.len(), || structure.read(bytes)) else { return false };
    if accepted.canonical {
        assert!(accepted.again == bytes[..accepted.used], "{structure:?} has two encodings");
    } else {
        let once_more = structure.read(&accepted.again).expect("what was encoded is read");
        assert!(once_more.again == accepted.again, "{structure:?} changes when it is read");
    }
    true
}

macro_rules! structures {
    ($($name:ident: $structure:ident,)*) => {$(
        mod $name {
            use super::*;

            #[test]
            fn corpus() {
                for (name, bytes) in corpus::files(&corpus::folder_of_blobs(Structure::$structure)) {
                    let accepted = read(Structure::$structure, &bytes);
                    assert_eq!(accepted, name.starts_with("valid"), "{name}");
                }
            }

            #[test]
            fn bytes() {
                check!().with_iterations(2000).for_each(|bytes| {
                    read(Structure::$structure, bytes);
                });
            }

            #[test]
            fn altered() {
                let samples = corpus::valid(&corpus::folder_of_blobs(Structure::$structure));
                check!().with_type::<Plan>().with_iterations(10_000).for_each(|plan| {
                    let (sample, repair, edits, count) = plan;
                    let mut bytes = samples[usize::from(*sample) % samples.len()].clone();
                    alter(&mut bytes, edits, *count);
                    if *repair {
                        Structure::$structure.repair(&mut bytes);
                    }
                    read(Structure::$structure, &bytes);
                });
            }

            #[test]
            fn made() {
                let choices = produce::<Vec<u8>>().with().len(0..3000_usize);
                check!().with_generator(choices).with_iterations(2000).for_each(|choices| {
                    let bytes = Structure::$structure.make(&mut Choices(choices));
                    assert!(read(Structure::$structure, &bytes), "what was made is read");
                });
            }
        }
    )*};
}

structures! {
    pack_header: PackHeader,
    record: Record,
    pack: Pack,
    pack_index: PackIndex,
    list: List,
    directory: Directory,
    reference: Reference,
    reference_text: ReferenceText,
    settings: Settings,
    pin: Pin,
    name: Name,
    lease: Lease,
}
