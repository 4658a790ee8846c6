//! The decoders of `redex`: any bytes, altered valid ones, and structures made of any fields.

use bolero::{check, produce};
use netdb_fuzz::alter::{Plan, alter};
use netdb_fuzz::corpus;
use netdb_fuzz::meter::within_bounds;
use redex::fuzzing::{Choices, Structure};

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

fn read_altered(structure: Structure, samples: &[Vec<u8>], (sample, repair, edits, count): &Plan) {
    let mut bytes = samples[usize::from(*sample) % samples.len()].clone();
    alter(&mut bytes, edits, *count);
    if *repair {
        structure.repair(&mut bytes);
    }
    read(structure, &bytes);
}

macro_rules! decoders {
    ($($name:ident: $structure:ident,)*) => {$(
        mod $name {
            use super::*;

            #[test]
            fn corpus() {
                for (name, bytes) in corpus::files(&corpus::folder_of(Structure::$structure)) {
                    let accepted = read(Structure::$structure, &bytes);
                    assert_eq!(accepted, name.starts_with("valid"), "{name}");
                }
            }

            #[test]
            fn bytes() {
                check!().with_iterations(4000).for_each(|bytes| {
                    read(Structure::$structure, bytes);
                });
            }

            #[test]
            fn altered() {
                let samples = corpus::valid(&corpus::folder_of(Structure::$structure));
                check!().with_type::<Plan>().with_iterations(40_000).for_each(|plan| {
                    read_altered(Structure::$structure, &samples, plan);
                });
            }

            #[test]
            fn made() {
                let choices = produce::<Vec<u8>>().with().len(0..3000_usize);
                check!().with_generator(choices).with_iterations(4000).for_each(|choices| {
                    let bytes = Structure::$structure.make(&mut Choices(choices));
                    assert!(read(Structure::$structure, &bytes), "what was made is read");
                });
            }
        }
    )*};
}

decoders! {
    escaped: Escaped,
    frame: Frame,
    event: Event,
    append: Append,
    erasable_block: ErasableBlock,
    redo: Redo,
    block: Block,
    control: Control,
    entry: Entry,
    state: State,
    footer: Footer,
    close: Close,
    hole: Hole,
    segment_header: SegmentHeader,
    superblock: Superblock,
    log_config: LogConfig,
    visible: Visible,
    index: Index,
}

/// What was found once: a compressed frame whose header says that its body has 16 MiB.
#[test]
fn a_length_of_a_compressed_body_takes_no_memory() {
    let samples = corpus::valid(&corpus::folder_of(Structure::Frame));
    let plan = (0, true, [(0, 33_687_077, 1), (0, 33_556_551, 0), (0, 0, 0)], 1);
    read_altered(Structure::Frame, &samples, &plan);
}
